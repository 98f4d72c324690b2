"""Limits on the costs of a network, such as ``madds=390M..400M`` or ``latency=8ms``.

A limit on latency may name its device: ``latency@litert:cpu=8ms``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.cost import Cost
from nas.errors import LimitError, MixnasError, unknown
from nas.units import (
    format_count,
    parse_bytes,
    parse_count,
    parse_milliseconds,
    with_unit_of,
)

COST_METRICS = tuple(field.name for field in dataclasses.fields(Cost))
"""Names of the exact costs."""
LATENCY = "latency"
"""Name of the limit on latency, on any device."""
METRICS = (*COST_METRICS, LATENCY)
"""Everything that can be limited."""
_RANGES = {"latency": "20ms..30ms", "peak_memory": "2MB..4MB"}  # examples; else counts
_PARSERS = {"latency": parse_milliseconds, "peak_memory": parse_bytes}


def format_metric(metric: str, value: float) -> str:
    """Return a cost as text with its unit, precise enough to tell similar networks apart."""
    if metric == "latency":
        return f"{value:.2f} ms"
    unit = "B" if metric == "peak_memory" else ""
    if value < 1e4:
        return f"{value:,.0f}{' ' if unit else ''}{unit}"
    return f"{format_count(value)}{unit} ({value:,.0f})"


@dataclass(frozen=True)
class Limit:
    """The range that a metric must lie in.

    Attributes:
        metric: Name of a field of `nas.cost.Cost`, or ``latency`` (in milliseconds).
        lower: Smallest value allowed; None for no lower bound.
        upper: Largest value allowed; None for no upper bound.
        device: Device of a limit on latency, as it was written behind an ``@``; empty for a limit
            that names none.
    """

    metric: str
    lower: float | None = None
    upper: float | None = None
    device: str = ""

    def __str__(self) -> str:
        name = f"{self.metric}@{self.device}" if self.device else self.metric
        if self.lower is None:
            return f"{name} <= {_short(self.metric, self.upper or 0.0)}"
        lower = _short(self.metric, self.lower)
        if self.upper is None:
            return f"{name} >= {lower}"
        return f"{lower} <= {name} <= {_short(self.metric, self.upper)}"

    def violation(self, value: float) -> float:
        """Return how far a value lies outside, relative to the bound exceeded; 0 inside."""
        if self.upper is not None and value > self.upper:
            return (value - self.upper) / max(self.upper, 1e-9)
        if self.lower is not None and value < self.lower:
            return (self.lower - value) / max(self.lower, 1e-9)
        return 0.0


def _short(metric: str, value: float) -> str:
    """Return a bound as text, rounded to three digits only if that loses nothing."""
    if metric == "latency":
        return f"{value:.10g}ms"
    rounded = format_count(value)
    return rounded if parse_count(rounded) == value else f"{value:,.0f}"


def parse_limit(metric: str, text: str | float) -> Limit:
    """Return the limit on one metric.

    Args:
        metric: Name of the metric, one of `METRICS`; latency may be that of one device:
            ``latency@litert:cpu``.
        text: ``400M`` (at most), ``390M..400M`` or ``390..400M``, ``390M..`` or ``..400M``.

    Raises:
        LimitError: If the metric is unknown, the text is not a limit, or the range is empty.
    """
    named, (metric, at, device) = metric, metric.partition("@")
    if metric not in METRICS:
        raise LimitError(unknown("metric", metric, METRICS))
    if at and (metric != LATENCY or not device):
        raise LimitError(
            f"'{named}' is no metric: only latency is that of a device, as in latency@litert:cpu"
        )
    parse = _PARSERS.get(metric, parse_count)
    example = _RANGES.get(metric, "390M..400M")
    low, dots, high = str(text).partition("..")
    low, high = with_unit_of(low, high), with_unit_of(high, low)
    try:
        if not dots:
            return Limit(metric, upper=parse(text), device=device)
        lower = parse(low) if low.strip() else None
        upper = parse(high) if high.strip() else None
    except MixnasError as error:
        raise LimitError(f"limit on {metric}: {error}; a range is written {example}") from None
    if lower is None and upper is None:
        raise LimitError(
            f"limit on {metric}: '{text}' has no bound; write {example.partition('..')[2]} or "
            f"{example}"
        )
    if lower is not None and upper is not None and lower > upper:
        raise LimitError(
            f"limit on {metric}: '{text}' is an empty range; put the lower bound first (a bound "
            "without a unit has that of the other)"
        )
    return Limit(metric, lower, upper, device)


def limits_on(device: str, limits: Iterable[Limit]) -> list[Limit]:
    """Return the limits on the latency on a device.

    These are the ones that name it; without one, those that name no device hold.
    """
    latencies = [limit for limit in limits if limit.metric == LATENCY]
    own = [limit for limit in latencies if limit.device == device]
    return own or [limit for limit in latencies if not limit.device]


def split_limits(texts: Iterable[str]) -> dict[str, str]:
    """Return the text of every limit by metric, from command-line values such as ``params=5M``.

    Raises:
        LimitError: If a value has no ``=``, or a metric appears twice.
    """
    limits: dict[str, str] = {}
    for text in texts:
        metric, equals, value = text.partition("=")
        metric = metric.strip()
        if not equals:
            raise LimitError(
                f"limit '{text}' cannot be parsed; write metric=value, such as params=5M"
            )
        if metric in limits:
            raise LimitError(f"two limits on {metric}; give one range, such as 390M..400M")
        limits[metric] = value.strip()
    return limits


def with_budget(budget: str | None, texts: Iterable[str] | None) -> list[str]:
    """Return the values of ``--limit``, with that of ``--budget`` in front as a limit on MAdds."""
    return [*([] if budget is None else [f"madds={budget}"]), *(texts or [])]


def parse_limits(texts: Iterable[str]) -> list[Limit]:
    """Return the limits given as command-line values such as ``latency=8ms`` or ``params=5M``.

    Examples:
        >>> [limit.upper for limit in parse_limits(["params=3M", "latency=6ms..8ms"])]
        [3000000, 8.0]

    Raises:
        LimitError: If one cannot be parsed.
    """
    return [parse_limit(metric, text) for metric, text in split_limits(texts).items()]


def total_violation(limits: Iterable[Limit], values: Mapping[str, float] | Cost) -> float:
    """Return the sum of the violations of all limits whose metric is known; 0 if all are met."""
    total = 0.0
    for limit in limits:
        if isinstance(values, Cost):
            value = getattr(values, limit.metric, None)
        else:
            value = values.get(limit.metric)
        if value is not None:
            total += limit.violation(value)
    return total
