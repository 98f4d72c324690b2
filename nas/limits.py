"""Limits on what a network may cost: ``madds <= 400M``, ``latency <= 8ms``, ``390M..400M``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nas.cost import Cost
from nas.errors import LimitError, MixnasError, unknown
from nas.units import format_count, parse_count, parse_milliseconds

COST_METRICS = tuple(field.name for field in dataclasses.fields(Cost))
METRICS = (*COST_METRICS, "latency")


def format_metric(metric: str, value: float) -> str:
    """Write a cost with its unit; exact enough to tell neighbours apart."""
    if metric == "latency":
        return f"{value:.2f} ms"
    return f"{value:,.0f}" if value < 1e4 else f"{format_count(value)} ({value:,.0f})"


@dataclass(frozen=True)
class Limit:
    """A range that one metric must lie in.

    Attributes:
        metric: a field of `nas.cost.Cost`, or ``latency`` in milliseconds.
        lower: smallest value allowed, if any.
        upper: largest value allowed, if any.
    """

    metric: str
    lower: float | None = None
    upper: float | None = None

    def __str__(self) -> str:
        show = _short(self.metric)
        if self.lower is None:
            return f"{self.metric} <= {show(self.upper or 0.0)}"
        if self.upper is None:
            return f"{self.metric} >= {show(self.lower)}"
        return f"{show(self.lower)} <= {self.metric} <= {show(self.upper)}"

    def violation(self, value: float) -> float:
        """Return how far a value is outside, relative to the limit; 0 inside."""
        if self.upper is not None and value > self.upper:
            return (value - self.upper) / max(self.upper, 1e-9)
        if self.lower is not None and value < self.lower:
            return (self.lower - value) / max(self.lower, 1e-9)
        return 0.0


def _short(metric: str) -> Callable[[float], str]:
    if metric == "latency":
        return lambda value: f"{value:g}ms"
    # All digits where three of them would hide the difference.
    return lambda value: (
        format_count(value) if parse_count(format_count(value)) == value else f"{value:,.0f}"
    )


def parse_limit(metric: str, text: str | float) -> Limit:
    """Read the limit of one metric: ``400M`` (at most), ``390M..400M``, ``390M..`` or ``..400M``.

    Raises:
        MixnasError: when the metric is unknown, the text is no limit, or the range is empty.
    """
    if metric not in METRICS:
        raise LimitError(unknown("metric", metric, METRICS))
    parse = parse_milliseconds if metric == "latency" else parse_count
    low, dots, high = str(text).partition("..")
    try:
        if not dots:
            return Limit(metric, upper=parse(text))
        lower = parse(low) if low.strip() else None
        upper = parse(high) if high.strip() else None
    except MixnasError as error:
        raise LimitError(f"limit on {metric}: {error}; a range is written 390M..400M") from None
    if lower is None and upper is None:
        raise LimitError(f"limit on {metric}: '{text}' bounds nothing; write 400M or 390M..400M")
    if lower is not None and upper is not None and lower > upper:
        raise LimitError(f"limit on {metric}: '{text}' is empty; write the smaller end first")
    return Limit(metric, lower, upper)


def split_limits(texts: Iterable[str]) -> dict[str, str]:
    """Split limits as written on a command line (``params=5M``) into metrics and texts.

    Raises:
        LimitError: when one has no ``=``, or a metric is given twice.
    """
    limits: dict[str, str] = {}
    for text in texts:
        metric, equals, value = text.partition("=")
        metric = metric.strip()
        if not equals:
            raise LimitError(f"limit '{text}' cannot be read; write metric=value, as params=5M")
        if metric in limits:
            raise LimitError(f"two limits on {metric}; give one, as a range: 390M..400M")
        limits[metric] = value.strip()
    return limits


def with_budget(budget: str | None, texts: Iterable[str] | None) -> list[str]:
    """Return limits as written on a command line, ``--budget`` among them as one on MAdds."""
    return [*([] if budget is None else [f"madds={budget}"]), *(texts or [])]


def parse_limits(texts: Iterable[str]) -> list[Limit]:
    """Read limits as written on a command line: ``latency=8ms``, ``params=5M``.

    Raises:
        LimitError: naming the one that cannot be read.
    """
    return [parse_limit(metric, text) for metric, text in split_limits(texts).items()]


def total_violation(limits: Iterable[Limit], values: Mapping[str, float] | Cost) -> float:
    """Return the summed excess over limits on metrics that are known; 0 when all are met."""
    total = 0.0
    for limit in limits:
        if isinstance(values, Cost):
            value = getattr(values, limit.metric, None)
        else:
            value = values.get(limit.metric)
        if value is not None:
            total += limit.violation(value)
    return total
