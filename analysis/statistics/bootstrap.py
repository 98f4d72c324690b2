"""Bootstrap intervals of what a population of few networks says about its space."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics.distributions import EDF
from analysis.statistics.intervals import LEVEL

Floats = NDArray[np.float64]
RESAMPLES = 10_000
CELLS = 4_000_000


def edf_interval(curve: EDF, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the bootstrap interval of the share of networks at every error of an EDF.

    Of n networks drawn with replacement, the number with at most an error is binomial, so the
    interval (of the percentiles) follows without drawing. Unlike the band of `edf`, which holds the
    whole curve with its level, it holds every single share with that level, and is narrower.

    Args:
        curve: Distribution of equally weighted networks.
        level: Level of the interval.

    Returns:
        Lower and upper ends at `EDF.errors`, each (k,).

    Raises:
        AnalysisError: If the networks have different weights.
    """
    if not np.isclose(curve.effective_n, curve.n):
        raise AnalysisError("a bootstrap interval of an EDF needs equally weighted networks")
    tail = (1 - level) / 2
    ends = [stats.binom.ppf(share, curve.n, curve.shares) / curve.n for share in (tail, 1 - tail)]
    return np.asarray(ends[0], dtype=np.float64), np.asarray(ends[1], dtype=np.float64)


def mean_bootstrap(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the ends of the bootstrap interval (of the percentiles) of a mean.

    Args:
        values: Values, (n,); those that are not finite are left out.
        seed: Random seed of drawing.

    Raises:
        AnalysisError: If fewer than two values are finite.
    """
    return _ends(_means(values, np.random.default_rng(seed)))


def difference_bootstrap(one: ArrayLike, other: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the ends of the bootstrap interval of the first mean minus the second.

    Args:
        one: Values of the first population, (n,); those that are not finite are left out.
        other: Values of the second one, (m,).
        seed: Random seed of drawing.

    Raises:
        AnalysisError: If fewer than two values of a population are finite.
    """
    rng = np.random.default_rng(seed)
    return _ends(_means(one, rng) - _means(other, rng))


def _means(values: ArrayLike, rng: np.random.Generator) -> Floats:
    """Return the means of resamples, (RESAMPLES,)."""
    array = np.asarray(values, dtype=np.float64).ravel()
    array = array[np.isfinite(array)]
    if len(array) < 2:
        raise AnalysisError("a bootstrap interval needs two or more finite values")
    most = max(1, CELLS // len(array))  # resamples at once, for the memory
    blocks = [min(most, RESAMPLES - begin) for begin in range(0, RESAMPLES, most)]
    return np.concatenate([rng.choice(array, (n, len(array))).mean(axis=1) for n in blocks])


def _ends(found: Floats) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
