"""How quantities are written on axes and in tables: what they are called, and in which unit."""

from __future__ import annotations

import pandas as pd

from analysis.read.population import ERROR, NEGATED
from analysis.schema import VARIABLE

SHARES = ("score", "accuracy", "test_accuracy")
DIVISORS = {"madds": ("MAdds (M)", 1e6), "params": ("parameters (M)", 1e6)}
DIVISORS |= {"activations": ("activations (M)", 1e6), "latency_ms": ("latency (ms)", 1.0)}


def error_unit(label: str) -> tuple[str, float]:
    """Return what a population's errors are written as: a name, and a factor.

    Shares are in percent. Errors that stand for scores are turned back into them.
    """
    if label.startswith(NEGATED):
        return label.removeprefix(NEGATED), -1.0
    return ("error (%)", 100.0) if label == ERROR else (label, 1.0)


def quality_unit(label: str) -> tuple[str, float, float]:
    """Return the name, offset and factor that make errors a quantity to be maximised."""
    if label == ERROR:
        return "accuracy (%)", 100.0, -100.0
    name, factor = error_unit(label)
    return (name, 0.0, factor) if factor < 0 else (f"less {name}", 0.0, -factor)


def score_unit(label: str) -> tuple[str, float]:
    """Return an axis' label for a run's scores, and their factor: accuracies are in percent."""
    return (f"{label} (%)", 100.0) if label.endswith("accuracy") else (label, 1.0)


def column_unit(name: str) -> tuple[str, float]:
    """Return a column's axis label, and what its values are divided by."""
    return DIVISORS.get(name, (name.removeprefix(VARIABLE), 1.0))


def objective_unit(name: str, values: pd.Series) -> tuple[str, float]:
    """Return an objective's axis label and factor: accuracies are in percent."""
    if name in SHARES and values.min() >= 0 and values.max() <= 1:
        return f"{name} (%)", 100.0
    label, divisor = column_unit(name)
    return label, 1 / divisor
