"""Confidence intervals of means and their differences, and the level that all of them share."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
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


def paired_interval(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of the interval of the difference of two accuracies on the same images.

    Training runs and images are both samples, and every run is judged on every image: crossed
    factors. The variance of the difference of the two means is that of the differences by image,
    plus for either network what its runs differ by beyond the noise of single images (method of
    moments). The degrees of freedom are Satterthwaite's (1946).

    Args:
        one: Whether each training run of the first network classifies each image correctly,
            (runs, images); at least two runs and two images.
        other: The same of the second network, on the same images.
    """
    images = one.shape[1]
    by_image = one.mean(axis=0) - other.mean(axis=0)
    value = float(by_image.mean())
    parts = [(float(by_image.var(ddof=1)) / images, images - 1)]
    for hits in (one, other):
        between, within = _variances_of_runs(hits)
        if between > within:
            runs = len(hits)
            parts += [(between, runs - 1), (-within, (runs - 1) * (images - 1))]
    variance = sum(part for part, _ in parts)
    if variance <= 0:
        # Nothing varies, on these images. Of a difference that none of n images shows, the share
        # is at most 3 / n, at 95% confidence (Hanley and Lippman-Hand 1983).
        return value - 3 / images, value + 3 / images
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5
    return value - reach, value + reach


def _variances_of_runs(hits: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the variance of a network's mean accuracy as its runs show it.

    Args:
        hits: See `paired_interval`.

    Returns:
        The variance between runs, and the part of it that comes from the noise of single images,
        which the differences by image contain as well; both of the mean over runs.
    """
    runs, images = hits.shape
    accuracies = hits.mean(axis=1)
    residuals = hits - accuracies[:, None] - hits.mean(axis=0) + hits.mean()
    residual = float(np.square(residuals).sum()) / ((runs - 1) * (images - 1))
    return float(accuracies.var(ddof=1)) / runs, residual / images / runs


def _quiet() -> warnings.catch_warnings[None]:
    """Return a context that ignores scipy's warnings about samples that hardly vary."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)
