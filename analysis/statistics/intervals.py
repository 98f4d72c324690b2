"""Confidence intervals of means and their differences, and the level that all intervals share."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind

LEVEL = 0.95
"""Confidence level of all intervals and bands."""


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the interval of a mean (Student's t); NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    with _quiet():
        interval = ttest_1samp(values, 0.0).confidence_interval(LEVEL)
    return float(interval.low), float(interval.high)


def difference_interval(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the ends of the interval of the first mean minus the second (Welch's t).

    They are NaN where a sample has fewer than two values, and equal the difference where neither
    sample varies.
    """
    if len(one) < 2 or len(other) < 2:
        return float("nan"), float("nan")
    if np.ptp(one) == np.ptp(other) == 0:  # Welch's degrees of freedom are undefined
        difference = float(one.mean() - other.mean())
        return difference, difference
    with _quiet():
        interval = ttest_ind(one, other, equal_var=False).confidence_interval(LEVEL)
    return float(interval.low), float(interval.high)


def _quiet() -> warnings.catch_warnings[None]:
    """Return a context that ignores scipy's warnings about samples that hardly vary."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)
