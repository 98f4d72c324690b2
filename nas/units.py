"""Parsing and formatting of quantities as people write them: 400M, 0.4G, 5M, 8ms, 4MB."""

from __future__ import annotations

import math
import re

from nas.errors import MixnasError

GIBIBYTE = 1 << 30
"""Bytes of a GiB."""
MOST_THREADS = 1_024
"""The most threads of a runtime that measures."""
LARGEST_BATCH = 4_096
"""The most images in one run of a measurement."""
LONGEST_INTERVAL_MS = 10_000.0
"""The longest pause before the runs of a measurement, in milliseconds (see `parse_interval`)."""

_NUMBER = re.compile(
    r"\s*([0-9]{1,3}(?:,[0-9]{3})+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z\u00b5\u03bc]*)\s*"
)
_COUNT_UNITS = {"": 1, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9, "B": 1e9}
# Every size is read with and without its B, since it is printed as 4.19MB and 4.19M (4,194,304).
_BYTE_UNITS = {"": 1, "B": 1, "k": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "g": 1e9} | {
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
# The micro sign and the Greek letter mu look alike.
_TIME_UNITS = {"ms": 1.0, "us": 1e-3, "\u00b5s": 1e-3, "\u03bcs": 1e-3, "s": 1e3}
_DURATION_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def _parse(text: str | float, units: dict[str, float], what: str, forms: str) -> float:
    match = _NUMBER.fullmatch(str(text))
    if match is None or match[2] not in units:
        raise MixnasError(f"'{text}' is not a {what}; accepted forms: {forms}")
    value = float(match[1].replace(",", "")) * units[match[2]]
    if not math.isfinite(value):
        raise MixnasError(f"'{text}' is too large for a {what}")
    return value


def parse_count(text: str | float) -> int:
    """Return a count, given as ``400M``, ``0.4G``, ``5k`` or ``390000000``.

    Raises:
        MixnasError: If the text is not a count.
    """
    return round(_parse(text, _COUNT_UNITS, "count", "400M, 0.4G, 500k, 390000000"))


def parse_bytes(text: str | float) -> int:
    """Return a number of bytes, given as ``4MB``, ``0.5GB``, ``512KiB``, ``4M`` or ``4000000``.

    Raises:
        MixnasError: If the text is not a size in memory.
    """
    return round(_parse(text, _BYTE_UNITS, "size in memory", "4MB, 0.5GB, 512KiB, 4000000"))


def with_unit_of(text: str, other: str) -> str:
    """Return a number, with the unit of another one if it has none: 390 and 400M give 390M."""
    match, reference = _NUMBER.fullmatch(text), _NUMBER.fullmatch(other)
    if match is None or reference is None or match[2]:
        return text
    return f"{text.strip()}{reference[2]}"


def parse_milliseconds(text: str | float) -> float:
    """Return a time in milliseconds, given as ``8ms``, ``500us`` or ``0.01s``.

    Raises:
        MixnasError: If the text is not a time, or has no unit.
    """
    return _parse(text, _TIME_UNITS, "time", "8ms, 500us, 0.01s")


def parse_interval(text: str | float) -> float:
    """Return the pause before each run of a measurement in milliseconds, given as ``200ms``.

    Raises:
        MixnasError: If the text is not a time, has no unit, or is longer than
            `LONGEST_INTERVAL_MS`.
    """
    interval = parse_milliseconds(text)
    if interval > LONGEST_INTERVAL_MS:
        raise MixnasError(
            f"an interval of {text} is too long; the longest is {LONGEST_INTERVAL_MS / 1e3:g}s"
        )
    return interval


def parse_seconds(text: str | float) -> float:
    """Return a duration in seconds, given as ``90s``, ``10min`` or ``2h``.

    Raises:
        MixnasError: If the text is not a duration, or has no unit.
    """
    return _parse(text, _DURATION_UNITS, "duration", "90s, 10min, 2h")


def number_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 network``, ``1,024 networks``, ``2 classes``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_count(value: float) -> str:
    """Return a count as text with three significant digits: ``339M``, ``5.01M``, ``12.3k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
