"""Distributions of errors of populations, as the RegNet papers draw them.

Radosavovic et al. 2019 ("On Network Design Spaces for Visual Recognition") compare design spaces by
the distribution of the errors of networks drawn from them. Errors are shares, but any quantity to
minimize will do.

Values that are not finite are left out and counted. What the paper estimates by drawing random
subsets follows exactly from order statistics, so a million networks take no longer than a few
hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp

from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EDF:
    """Empirical distribution function: the share of networks with an error of at most e.

    It is a right-continuous step function.

    Attributes:
        errors: Distinct errors, ascending, (k,).
        shares: Share (by weight) of the networks with at most that error, (k,); the last one is 1.
        low: Lower end of the confidence band, (k,).
        high: Upper end of the band, (k,).
        level: Level of the band, which contains the whole true distribution.
        n: Networks.
        effective_n: Number of equally weighted networks with as much information (Kish 1965).
        dropped: Networks left out because their error is not finite.
        best: Lowest error.
        mean: Weighted mean error.
    """

    errors: Floats
    shares: Floats
    low: Floats
    high: Floats
    level: float
    n: int
    effective_n: float
    dropped: int
    best: float
    mean: float

    def at(self, error: float) -> float:
        """Return the share of networks with at most that error."""
        index = int(np.searchsorted(self.errors, error, side="right"))
        return float(self.shares[index - 1]) if index else 0.0


def edf(errors: ArrayLike, weights: ArrayLike | None = None, level: float = LEVEL) -> EDF:
    """Return the empirical distribution function of errors.

    Its band is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990): plus and
    minus sqrt(ln(2 / (1 - level)) / 2n). With weights, n is Kish's effective number, which makes
    the band approximate.

    Args:
        errors: Errors of the networks, (n,).
        weights: Weights of the networks, (n,), nonnegative, with any sum; equal if None.
        level: Level of the band.

    Raises:
        AnalysisError: If no error is finite, or weights are negative, not finite or too few.
    """
    values, weight, dropped = _normalized_weights(errors, weights)
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order]
    last = np.append(values[1:] != values[:-1], True)
    shares = np.cumsum(weight)[last]
    shares[-1] = 1.0
    effective = float(1.0 / np.square(weight).sum())
    reach = math.sqrt(math.log(2 / (1 - level)) / (2 * effective))
    return EDF(
        errors=values[last],
        shares=shares,
        low=np.clip(shares - reach, 0, 1),
        high=np.clip(shares + reach, 0, 1),
        level=level,
        n=len(values),
        effective_n=effective,
        dropped=dropped,
        best=float(values[0]),
        mean=float(values @ weight),
    )


def _normalized_weights(errors: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, int]:
    """Return the finite errors, their weights with sum 1, and the number of other errors."""
    values = np.asarray(errors, dtype=np.float64).ravel()
    weight = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != values.shape:
        raise AnalysisError(f"there are {len(values)} errors but {len(weight)} weights")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise AnalysisError("weights must be finite and nonnegative")
    used = np.isfinite(values) & (weight > 0)
    if not used.any():
        raise AnalysisError("no network has a finite error and a positive weight")
    dropped = int((~np.isfinite(values)).sum())
    return values[used], weight[used] / weight[used].sum(), dropped


# -- normalization by complexity --------------------------------------------------------------


@dataclass(frozen=True)
class Normalisation:
    """Weights under which a population's complexity is uniform over a range.

    Attributes:
        weights: Weights of the networks, (n,); 0 outside the range. Their sum is the share of bins
            that hold a network.
        edges: Edges of the bins, ascending, (bins + 1,).
        counts: Networks in each bin, (bins,).
        empty: Bins without a network, whose part of the range is not represented.
        outside: Networks outside the range or without a finite complexity.
    """

    weights: Floats
    edges: Floats
    counts: NDArray[np.int64]
    empty: int
    outside: int


def normalise(complexity: ArrayLike, edges: ArrayLike) -> Normalisation:
    """Return weights that give every bin of complexity the same mass (2019 paper, section 4.1).

    Two spaces that are weighted with the same edges are compared at the same complexity.

    Args:
        complexity: Complexity of the networks, such as multiply-adds or parameters, (n,).
        edges: Edges of the bins, ascending, (bins + 1,); the last bin includes its upper edge.

    Raises:
        AnalysisError: If the edges are not ascending, or no network is in the range.
    """
    values = np.asarray(complexity, dtype=np.float64).ravel()
    bounds = np.asarray(edges, dtype=np.float64).ravel()
    if len(bounds) < 2 or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
        raise AnalysisError("edges must be two or more finite numbers in ascending order")
    inside = (values >= bounds[0]) & (values <= bounds[-1])
    bins = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, len(bounds) - 2)
    counts = np.bincount(bins[inside], minlength=len(bounds) - 1)
    if not inside.any():
        raise AnalysisError(f"no network has a complexity from {bounds[0]:g} to {bounds[-1]:g}")
    weights = np.where(inside, 1.0 / (np.maximum(counts, 1)[bins] * len(counts)), 0.0)
    return Normalisation(
        weights=weights,
        edges=bounds,
        counts=counts,
        empty=int((counts == 0).sum()),
        outside=int((~inside).sum()),
    )


def common_edges(complexities: Sequence[ArrayLike], bins: int = 10) -> Floats:
    """Return the edges of equally wide bins over the range that all populations cover.

    Args:
        complexities: Complexity of the networks, one array per population.
        bins: Number of bins.

    Raises:
        AnalysisError: If the populations have no range in common.
    """
    if not complexities:
        raise AnalysisError("there is no population")
    finite = [_finite(values) for values in complexities]
    low, high = max(v.min() for v in finite), min(v.max() for v in finite)
    if any(v.min() == v.max() for v in finite):
        raise AnalysisError(
            "all networks of a population have the same complexity, so it cannot be normalized"
        )
    if low >= high:
        raise AnalysisError(
            f"the populations have no complexity in common: one begins at {low:g}, but another "
            f"ends at {high:g}"
        )
    return np.linspace(low, high, bins + 1)


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64).ravel()
    array = array[np.isfinite(array)]
    if not len(array):
        raise AnalysisError("a population has no finite values")
    return array


# -- comparison of two populations ------------------------------------------------------------


@dataclass(frozen=True)
class KSTest:
    """Kolmogorov-Smirnov test of whether two populations have the same distribution of errors.

    Attributes:
        statistic: Largest distance between the two EDFs.
        p_value: Probability of at least that distance if the distributions are the same.
        at: Error at which the distance is largest.
        n: Networks in each population.
        dropped: Networks left out of each because their error is not finite.
    """

    statistic: float
    p_value: float
    at: float
    n: tuple[int, int]
    dropped: tuple[int, int]


def ks_test(one: ArrayLike, other: ArrayLike) -> KSTest:
    """Compare the errors of two populations, with equal weights of their networks.

    Args:
        one: Errors of the first population, (n,).
        other: Errors of the second population, (m,).

    Raises:
        AnalysisError: If a population has no finite error.
    """
    raw = [np.asarray(errors, dtype=np.float64).ravel() for errors in (one, other)]
    first, second = (_finite(errors) for errors in raw)
    test = ks_2samp(first, second)
    return KSTest(
        statistic=float(test.statistic),
        p_value=float(test.pvalue),
        at=float(test.statistic_location),
        n=(len(first), len(second)),
        dropped=(len(raw[0]) - len(first), len(raw[1]) - len(second)),
    )


# -- random search ----------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchEfficiency:
    """Error of the best of m random networks, for several m.

    Attributes:
        sizes: Numbers of networks m, (k,).
        mean: Expected error of the best network, (k,).
        low: Lower end of the interval that holds the best error with probability `level`, (k,).
        high: Upper end of the interval, (k,).
        level: Level of the interval.
        n: Networks in the population.
        dropped: Networks left out because their error is not finite.
    """

    sizes: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    level: float
    n: int
    dropped: int


def search_efficiency(
    errors: ArrayLike,
    weights: ArrayLike | None = None,
    sizes: Sequence[int] | None = None,
    level: float = LEVEL,
) -> SearchEfficiency:
    """Return the error that random search of m networks reaches (2019 paper, section 5.3).

    It is exact for draws with replacement: the best of m exceeds e with probability (1 - F(e))^m.

    Args:
        errors: Errors of the networks, (n,).
        weights: Weights of the networks; see `edf`.
        sizes: Numbers of networks m; powers of two up to the number of networks if None.
        level: Level of the interval.

    Raises:
        AnalysisError: If a size is not positive; see also `edf`.
    """
    distribution = edf(errors, weights)
    if sizes is None:
        sizes = [2**power for power in range(distribution.n.bit_length())]
    if not sizes or min(sizes) < 1:
        raise AnalysisError("sizes must be one or more positive numbers of networks")
    above = np.append(1.0, 1.0 - distribution.shares)
    tails = [(1 - level) / 2, (1 + level) / 2]
    means, lows, highs = [], [], []
    for size in sizes:
        probability = -np.diff(above**size)  # of each distinct error to be the lowest
        means.append(float(distribution.errors @ probability))
        cumulative = np.cumsum(probability)
        low, high = np.minimum(np.searchsorted(cumulative, tails), len(cumulative) - 1)
        lows.append(distribution.errors[low])
        highs.append(distribution.errors[high])
    return SearchEfficiency(
        sizes=np.array(sizes),
        mean=np.array(means),
        low=np.array(lows),
        high=np.array(highs),
        level=level,
        n=distribution.n,
        dropped=distribution.dropped,
    )
