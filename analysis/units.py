"""Names and units of quantities on axes and in tables."""

from __future__ import annotations

import pandas as pd

from analysis.schema import ERROR, NEGATED, VARIABLE

SHARES = ("score", "accuracy", "test_accuracy")
"""Objectives that are written in percent if all their values lie between 0 and 1."""
DIVISORS = {
    "madds": ("MAdds (M)", 1e6),
    "params": ("parameters (M)", 1e6),
    "activations": ("activations (M)", 1e6),
    "latency_ms": ("latency (ms)", 1.0),
}
"""Axis label and divisor by column."""


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


def score_unit(label: str) -> tuple[str, float]:
    """Return the axis label and factor of a run's scores; accuracies are written in percent.

    Args:
        label: `Run.label`.
    """
    return (f"{label} (%)", 100.0) if label.endswith("accuracy") else (label, 1.0)


def column_unit(name: str) -> tuple[str, float]:
    """Return a column's axis label and the divisor of its values."""
    return DIVISORS.get(name, (name.removeprefix(VARIABLE), 1.0))


def objective_unit(name: str, values: pd.Series) -> tuple[str, float]:
    """Return an objective's axis label and factor; accuracies are written in percent."""
    if name in SHARES and values.min() >= 0 and values.max() <= 1:
        return f"{name} (%)", 100.0
    label, divisor = column_unit(name)
    return label, 1 / divisor
