"""Parses limits as a search's configuration writes them: ``400M``, ``390M..400M``, ``8ms``."""

from __future__ import annotations

import re
from collections.abc import Mapping

Bound = tuple[float | None, float | None]
"""Lower and upper bound; None where there is none."""
LIMIT_COLUMNS = {"latency": "latency_ms"}
"""Column by metric, for metrics whose column has another name."""
_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ]*)\s*")
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9, "B": 1e9}
_TIMES = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}


def bounds(limits: Mapping[str, str]) -> dict[str, Bound]:
    """Return bounds by column, in the column's unit (latency in milliseconds).

    A limit that cannot be parsed is left out: bounds are only drawn, and the search that wrote the
    limit has already applied it.

    Args:
        limits: Limits as text, by metric.
    """
    found: dict[str, Bound] = {}
    for metric, text in limits.items():
        units = _TIMES if metric == "latency" else _COUNTS
        low, dots, high = str(text).partition("..")
        bound = (_number(low, units), _number(high, units)) if dots else (None, _number(low, units))
        if bound != (None, None):
            found[LIMIT_COLUMNS.get(metric, metric)] = bound
    return found


def _number(text: str, units: Mapping[str, float]) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]]
