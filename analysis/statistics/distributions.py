"""Statistics of populations of networks, as the RegNet papers draw them.

Radosavovic et al. 2019 ("On Network Design Spaces for Visual Recognition") compare design spaces by
the distribution of errors of networks drawn from them; Radosavovic et al. 2020 ("Designing Network
Design Spaces") add the interval in which the best value of a design variable lies. Errors are
shares, the lower the better; anything else to be minimised will do.

Whatever is not finite is left out and counted. What these papers estimate by drawing subsets at
random follows exactly from order statistics, so that a million networks take no longer than some
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

Floats = NDArray[np.float64]
LEVEL = 0.95
SHARE = 0.25  # of a population in one resample (Radosavovic et al. 2020, footnote 4)
REPEATS = 10_000  # of resamples


@dataclass(frozen=True)
class EDF:
    """Which share of a population has an error of at most e: a right-continuous step.

    Attributes:
        errors: distinct errors, ascending, (k,).
        shares: share (by weight) of networks with at most that error, (k,); the last one is 1.
        low: lower end of the band, (k,).
        high: upper end.
        level: of the band, which holds the true distribution as a whole.
        n: networks.
        effective_n: networks of equal weight that would tell as much (Kish 1965).
        dropped: networks left out, since their error is not finite.
        best: least error.
        mean: mean error, by weight.
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
    minus sqrt(ln(2 / (1 - level)) / 2n). With weights n is Kish's effective number, which makes
    the band an approximation.

    Args:
        errors: (n,).
        weights: of the networks, not negative, of any sum; equal ones if None.
        level: of the band.

    Raises:
        AnalysisError: when there is no finite error, or weights are impossible.
    """
    values, weight, dropped = _weighed(errors, weights)
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order]
    last = np.append(values[1:] != values[:-1], True)
    shares = np.cumsum(weight)[last]
    shares[-1] = 1.0
    effective = float(1.0 / np.square(weight).sum())
    reach = math.sqrt(math.log(2 / (1 - level)) / (2 * effective))
    return EDF(
        values[last],
        shares,
        np.clip(shares - reach, 0, 1),
        np.clip(shares + reach, 0, 1),
        level,
        len(values),
        effective,
        dropped,
        float(values[0]),
        float(values @ weight),
    )


def _weighed(errors: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, int]:
    """Return finite errors with weights that sum to 1, and how many were left out."""
    values = np.asarray(errors, dtype=np.float64).ravel()
    weight = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != values.shape:
        raise AnalysisError(f"there are {len(values)} errors, but {len(weight)} weights")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise AnalysisError("weights are finite and not negative")
    kept = np.isfinite(values) & (weight > 0)
    if not kept.any():
        raise AnalysisError("no network has a finite error and a weight")
    dropped = int((~np.isfinite(values)).sum())
    return values[kept], weight[kept] / weight[kept].sum(), dropped


# -- the same complexity ----------------------------------------------------------------------


@dataclass(frozen=True)
class Normalisation:
    """Weights that make a population's complexity even over a range.

    Attributes:
        weights: of the networks, (n,); 0 outside the range. They sum to the share of bins that
            hold a network.
        edges: of the bins, ascending, (bins + 1,).
        counts: networks in every bin, (bins,).
        empty: bins without a network, whose part of the range nothing stands for.
        outside: networks outside the range, or without a finite complexity.
    """

    weights: Floats
    edges: Floats
    counts: NDArray[np.int64]
    empty: int
    outside: int


def normalise(complexity: ArrayLike, edges: ArrayLike) -> Normalisation:
    """Return weights under which every bin of complexity counts the same (2019 paper, section 4.1).

    Two spaces that are weighed with the same edges are compared at the same complexity.

    Args:
        complexity: of the networks, as multiply-adds or parameters, (n,).
        edges: of the bins, ascending; the last bin holds its upper edge, too.

    Raises:
        AnalysisError: when edges are no ascending numbers, or no network is within.
    """
    values = np.asarray(complexity, dtype=np.float64).ravel()
    bounds = np.asarray(edges, dtype=np.float64).ravel()
    if len(bounds) < 2 or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
        raise AnalysisError("edges are two or more finite numbers in ascending order")
    inside = (values >= bounds[0]) & (values <= bounds[-1])
    bins = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, len(bounds) - 2)
    counts = np.bincount(bins[inside], minlength=len(bounds) - 1)
    if not inside.any():
        raise AnalysisError(f"no network has a complexity from {bounds[0]:g} to {bounds[-1]:g}")
    weights = np.where(inside, 1.0 / (np.maximum(counts, 1)[bins] * len(counts)), 0.0)
    return Normalisation(weights, bounds, counts, int((counts == 0).sum()), int((~inside).sum()))


def common_edges(complexities: Sequence[ArrayLike], bins: int = 10) -> Floats:
    """Return edges of equal bins over the range that all populations cover.

    Raises:
        AnalysisError: when there is no such range.
    """
    if not complexities:
        raise AnalysisError("there is no population")
    finite = [_finite(values) for values in complexities]
    low, high = max(v.min() for v in finite), min(v.max() for v in finite)
    if any(v.min() == v.max() for v in finite):
        raise AnalysisError(
            "a population has one complexity alone, which makes no range to even out"
        )
    if low >= high:
        raise AnalysisError(
            f"the populations have no complexity in common: one begins at {low:g}, where another "
            f"ends at {high:g}"
        )
    return np.linspace(low, high, bins + 1)


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64).ravel()
    array = array[np.isfinite(array)]
    if not len(array):
        raise AnalysisError("a population has no finite values")
    return array


# -- one space or two -------------------------------------------------------------------------


@dataclass(frozen=True)
class KSTest:
    """Whether two populations have the same distribution of errors (Kolmogorov and Smirnov).

    Attributes:
        statistic: largest distance of the two EDFs.
        p_value: probability of such a distance, or a larger one, were they the same.
        at: error at which the distance is largest.
        n: networks of each.
        dropped: networks left out of each, since their error is not finite.
    """

    statistic: float
    p_value: float
    at: float
    n: tuple[int, int]
    dropped: tuple[int, int]


def ks_test(one: ArrayLike, other: ArrayLike) -> KSTest:
    """Compare two populations' errors; the test takes networks of equal weight.

    Raises:
        AnalysisError: when one of them has no finite error.
    """
    raw = [np.asarray(errors, dtype=np.float64).ravel() for errors in (one, other)]
    first, second = (_finite(errors) for errors in raw)
    found = ks_2samp(first, second)
    return KSTest(
        float(found.statistic),
        float(found.pvalue),
        float(found.statistic_location),
        (len(first), len(second)),
        (len(raw[0]) - len(first), len(raw[1]) - len(second)),
    )


# -- the best value ---------------------------------------------------------------------------


@dataclass(frozen=True)
class SubsetWinners:
    """Which networks are the best of random subsets of a population.

    Attributes:
        rows: row of the winner of every resample, (repeats,).
        n: networks with a finite error.
        size: networks of one resample.
        seed: of the drawing.
    """

    rows: NDArray[np.int64]
    n: int
    size: int
    seed: int


@dataclass(frozen=True)
class BestValue:
    """Where the best value of a design variable lies.

    Attributes:
        low: lower end of the interval.
        median: the most likely best value.
        high: upper end.
        level: of the interval.
        n: networks in the population.
        dropped: winners without a finite value.
    """

    low: float
    median: float
    high: float
    level: float
    n: int
    dropped: int


def winners(
    errors: ArrayLike, share: float = SHARE, repeats: int = REPEATS, seed: int = 0
) -> SubsetWinners:
    """Return the best networks of subsets that are drawn with replacement (2020 paper, footnote 4).

    The rank R of the best of m draws from n networks has P(R >= r) = (1 - r / n)^m, so that ranks
    are drawn and not subsets. Networks of equal error win equally often.

    Args:
        errors: (n,).
        share: of the population in one subset.
        repeats: how many subsets.
        seed: of the drawing.

    Raises:
        AnalysisError: when no error is finite, or the share is none.
    """
    values = np.asarray(errors, dtype=np.float64).ravel()
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        raise AnalysisError("no network has a finite error")
    if not 0 < share <= 1:
        raise AnalysisError(f"a resample is a share of the population from 0 to 1, not {share:g}")
    n = len(known)
    size = max(1, int(n * share))
    order = known[np.argsort(values[known], kind="stable")]
    ranked = values[order]
    rng = np.random.default_rng(seed)
    ranks = np.floor(n * -np.expm1(np.log(rng.random(repeats)) / size)).astype(np.int64)
    won = ranked[np.minimum(ranks, n - 1)]
    first = np.searchsorted(ranked, won, side="left")
    ties = np.searchsorted(ranked, won, side="right") - first
    return SubsetWinners(order[first + rng.integers(ties)], n, size, seed)


def best_value(values: ArrayLike, found: SubsetWinners, level: float = LEVEL) -> BestValue:
    """Return the interval of a numeric design variable's best value.

    Args:
        values: of the variable, one a row of the population.
        found: the winners, which all variables of a population share.
        level: of the interval.

    Raises:
        AnalysisError: when no winner has a finite value.
    """
    won = np.asarray(values, dtype=np.float64).ravel()[found.rows]
    finite = won[np.isfinite(won)]
    if not len(finite):
        raise AnalysisError("none of the best networks has a finite value of the variable")
    tail = (1 - level) / 2
    low, median, high = np.quantile(finite, [tail, 0.5, 1 - tail])
    dropped = len(won) - len(finite)
    return BestValue(float(low), float(median), float(high), level, found.n, dropped)


def best_choices(values: Sequence[str], found: SubsetWinners) -> dict[str, float]:
    """Return how often each value of a categorical variable wins, the most frequent first."""
    names, counts = np.unique(np.asarray(values, dtype=str)[found.rows], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): float(counts[i] / len(found.rows)) for i in order}


# -- random search ----------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchEfficiency:
    """How low the error of the best of m random networks is.

    Attributes:
        sizes: m, (k,).
        mean: expected error of the best, (k,).
        low: lower end of the interval that holds the best in `level` of all cases, (k,).
        high: upper end.
        level: of the interval.
        n: networks in the population.
        dropped: networks left out, since their error is not finite.
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
    """Return what random search of m networks finds (2019 paper, section 5.3).

    Exact for draws with replacement: the best of m is above e with probability (1 - F(e))^m.

    Args:
        errors: (n,).
        weights: as of `edf`.
        sizes: the m; powers of two up to the number of networks if None.
        level: of the interval.

    Raises:
        AnalysisError: as `edf`; when a size is not positive.
    """
    known = edf(errors, weights)
    if sizes is None:
        sizes = [2**power for power in range(known.n.bit_length())]
    if not sizes or min(sizes) < 1:
        raise AnalysisError("sizes are numbers of networks from 1 on")
    above = np.append(1.0, 1.0 - known.shares)
    means, lows, highs = [], [], []
    for size in sizes:
        chance = -np.diff(above**size)  # that the best is this one of the distinct errors
        means.append(float(known.errors @ chance))
        reached = np.cumsum(chance)
        ends = [(1 - level) / 2, (1 + level) / 2]
        at = np.minimum(np.searchsorted(reached, ends), len(reached) - 1)
        lows.append(known.errors[at[0]])
        highs.append(known.errors[at[1]])
    return SearchEfficiency(
        np.array(sizes), np.array(means), np.array(lows), np.array(highs), level, known.n,
        known.dropped,
    )  # fmt: skip
