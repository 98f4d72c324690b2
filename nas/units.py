"""Parsing and formatting of quantities as people write them: 400M, 0.4G, 5M, 8ms."""

from __future__ import annotations

import math
import re

from nas.errors import MixnasError

GIBIBYTE = 1 << 30

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ]*)\s*")
_COUNT_UNITS = {"": 1, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9, "B": 1e9}
_TIME_UNITS = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
_DURATION_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def _parse(text: str | float, units: dict[str, float], what: str, forms: str) -> float:
    match = _NUMBER.fullmatch(str(text))
    if match is None or match[2] not in units:
        raise MixnasError(f"'{text}' is not a {what}; accepted forms: {forms}")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise MixnasError(f"'{text}' is too large for a {what}")
    return value


def parse_count(text: str | float) -> int:
    """Return a count, given as ``400M``, ``0.4G``, ``5k`` or ``390000000``.

    Raises:
        MixnasError: If the text is not a count.
    """
    return round(_parse(text, _COUNT_UNITS, "count", "400M, 0.4G, 500k, 390000000"))


def parse_milliseconds(text: str | float) -> float:
    """Return a time in milliseconds, given as ``8ms``, ``500us`` or ``0.01s``.

    Raises:
        MixnasError: If the text is not a time, or has no unit.
    """
    return _parse(text, _TIME_UNITS, "time", "8ms, 500us, 0.01s")


def parse_seconds(text: str | float) -> float:
    """Return a duration in seconds, given as ``90s``, ``10min`` or ``2h``.

    Raises:
        MixnasError: If the text is not a duration, or has no unit.
    """
    return _parse(text, _DURATION_UNITS, "duration", "90s, 10min, 2h")


def format_count(value: float) -> str:
    """Return a count as text with three significant digits: ``339M``, ``5.01M``, ``12.3k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
