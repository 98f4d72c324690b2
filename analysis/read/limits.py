"""Parses limits as a search's configuration writes them: ``400M``, ``390M..400M``, ``8ms``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Bound = tuple[float | None, float | None]
"""Lower and upper bound; None where there is none."""
LIMIT_COLUMNS = {"latency": "latency_ms"}
"""Column by metric, for metrics whose column has another name."""
_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z\u00b5\u03bc]*)\s*")
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9, "B": 1e9}
_BYTES = {"": 1.0, "B": 1.0, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9} | {
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
}
_TIMES = {"ms": 1.0, "us": 1e-3, "\u00b5s": 1e-3, "\u03bcs": 1e-3, "s": 1e3}
_UNITS = {"latency": _TIMES, "peak_memory": _BYTES}


def bounds(limits: Mapping[str, str]) -> dict[str, Bound]:
    """Return bounds by column, in the column's unit (latency in milliseconds).

    A limit that cannot be parsed is left out: bounds are only drawn, and the search that wrote the
    limit has already applied it.

    Args:
        limits: Limits as text, by metric.
    """
    found: dict[str, Bound] = {}
    for metric, text in limits.items():
        metric, at, device = metric.partition("@")
        units = _UNITS.get(metric, _COUNTS)
        low, dots, high = str(text).partition("..")
        low, high = _with_unit_of(low, high), _with_unit_of(high, low)
        bound = (_number(low, units), _number(high, units)) if dots else (None, _number(low, units))
        if bound != (None, None):
            found[f"{LIMIT_COLUMNS.get(metric, metric)}{at}{device}"] = bound
    return found


def _with_unit_of(text: str, other: str) -> str:
    """Return a number, with the unit of the other bound if it has none: 390 in 390..400M."""
    match, reference = _NUMBER.fullmatch(text), _NUMBER.fullmatch(other)
    return f"{text}{reference[2]}" if match and reference and not match[2] else text


def _number(text: str, units: Mapping[str, float]) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in units:
        return None
    value = float(match[1]) * units[match[2]]
    return value if math.isfinite(value) else None
