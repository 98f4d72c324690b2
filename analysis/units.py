"""Names and units of quantities on axes and in tables."""

from __future__ import annotations

import math
import numbers
from typing import Any

import pandas as pd

from analysis.schema import ERROR, NEGATED, VARIABLE

DIVISORS = {
    "madds": ("MAdds (M)", 1e6),
    "params": ("parameters (M)", 1e6),
    "activations": ("activations (M)", 1e6),
    "latency_ms": ("latency (ms)", 1.0),
}
"""Axis label and divisor by column."""
COUNTS = ("params", "madds", "activations", "peak_memory", "macs", "flops")
"""Columns that are written as counts, such as 463k."""
_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def error_unit(label: str) -> tuple[str, float]:
    """Return the name and factor with which a population's errors are written.

    Shares are written in percent. Errors that are negated scores are turned back into scores.

    Args:
        label: `Population.label`.
    """
    if label.startswith(NEGATED):
        return label.removeprefix(NEGATED), -1.0
    return ("error (%)", 100.0) if label == ERROR else (label, 1.0)


def quality_unit(label: str) -> tuple[str, float, float]:
    """Return the name, offset and factor that turn errors into a quantity to maximize.

    Args:
        label: `Population.label`.
    """
    if label == ERROR:
        return "accuracy (%)", 100.0, -100.0
    name, factor = error_unit(label)
    return (name, 0.0, factor) if factor < 0 else (f"less {name}", 0.0, -factor)


def score_unit(label: str, is_share: bool) -> tuple[str, float]:
    """Return the axis label and factor of scores or of an objective; shares are in percent.

    Args:
        label: Name of the quantity.
        is_share: Whether it is an accuracy or error between 0 and 1.
    """
    return (f"{label} (%)", 100.0) if is_share else (label, 1.0)


def column_unit(name: str) -> tuple[str, float]:
    """Return a column's axis label and the divisor of its values."""
    return DIVISORS.get(name, (name.removeprefix(VARIABLE), 1.0))


def objective_unit(name: str, is_share: bool) -> tuple[str, float]:
    """Return an objective's axis label and factor; shares are written in percent.

    Args:
        name: Column of the objective.
        is_share: Whether it is an accuracy or error between 0 and 1; see `Population.shares`.
    """
    label, divisor = column_unit(name)
    return score_unit(label, True) if is_share else (label, 1 / divisor)


# -- values as text -----------------------------------------------------------------------------


def number_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 network``, ``1,024 networks``, ``2 classes``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_count(value: float) -> str:
    """Return a count as text with three significant digits: ``339M``, ``5.01M``, ``463k``.

    `nas.units.format_count` writes counts in the same way.
    """
    for prefix, size in _PREFIXES:
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{prefix}"
    return f"{value:g}"


def score_text(score: float | None, is_share: bool) -> str:
    """Return a score as text: shares in percent, large ones as counts, a missing one as a dash."""
    if score is None or pd.isna(score):
        return "-"
    if is_share:
        return f"{100 * score:.1f}%"
    return format_count(score) if 10_000 <= score < math.inf else f"{score:.4g}"


def differ(score: float | None, raw: float | None) -> bool:
    """Return whether a score is not what was estimated; what is missing differs from nothing."""
    if score is None or raw is None or pd.isna(score) or pd.isna(raw):
        return False
    return not math.isclose(score, raw, abs_tol=1e-9)


def value_text(name: str, value: Any, is_share: bool = False) -> str:
    """Return a cell of a table as text, in the same way wherever the column is shown.

    Args:
        name: Name of the column.
        value: Its value; missing ones become a dash.
        is_share: Whether the column holds accuracies or errors between 0 and 1.
    """
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "-"
    if is_share:
        return score_text(value, True)
    if name in COUNTS:
        return format_count(value)
    return f"{value:.2f}" if name == "latency_ms" else f"{value:.4g}"


def trial_name(number: Any) -> str:
    """Return the name of a trial by its number, which a table may hold as a float."""
    return f"trial_{number:.0f}" if isinstance(number, numbers.Real) else f"trial_{number}"
