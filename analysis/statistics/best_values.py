"""Where the best values of design variables lie.

Radosavovic et al. 2020 ("Designing Network Design Spaces") draw subsets of a population and look
at the networks that win in them: the values that a design variable takes in the winners show where
its best value lies, and how sure that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL

SUBSET_SHARE = 0.25
"""Share of a population in one subset (Radosavovic et al. 2020, footnote 4)."""
SUBSETS = 10_000
"""Subsets that are drawn."""


@dataclass(frozen=True)
class SubsetWinners:
    """The best networks of random subsets of a population.

    Attributes:
        rows: Row of the best network of each subset, (repeats,).
        n: Networks with a finite error.
        size: Networks in one subset.
        seed: Random seed.
    """

    rows: NDArray[np.int64]
    n: int
    size: int
    seed: int


@dataclass(frozen=True)
class BestValue:
    """The interval in which the best value of a design variable lies.

    Attributes:
        low: Lower end of the interval.
        median: Median of the winners' values, the most likely best value.
        high: Upper end of the interval.
        level: Level of the interval.
        n: Networks with a finite error in the population.
        dropped: Winners without a finite value.
    """

    low: float
    median: float
    high: float
    level: float
    n: int
    dropped: int


def winners(
    errors: ArrayLike, share: float = SUBSET_SHARE, repeats: int = SUBSETS, seed: int = 0
) -> SubsetWinners:
    """Return the best networks of subsets drawn with replacement (2020 paper, footnote 4).

    The rank R, from 0, of the best of m draws from n networks has P(R >= r) = (1 - r / n)^m, so
    ranks are drawn instead of subsets. Networks of equal error win equally often.

    Args:
        errors: Errors of the networks, (n,); those that are not finite never win.
        share: Share of the population in one subset, above 0 and at most 1.
        repeats: Number of subsets.
        seed: Random seed.

    Raises:
        AnalysisError: If no error is finite, or the share is out of range.
    """
    values = np.asarray(errors, dtype=np.float64).ravel()
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        raise AnalysisError("no network has a finite error")
    if not 0 < share <= 1:
        raise AnalysisError(f"the share of the population must be in (0, 1], not {share:g}")
    n = len(known)
    size = max(1, int(n * share))
    order = known[np.argsort(values[known], kind="stable")]
    ranked = values[order]
    rng = np.random.default_rng(seed)
    # Inverse transform sampling: 1 - u^(1 / m), computed so that small ranks keep their precision.
    ranks = np.floor(n * -np.expm1(np.log(rng.random(repeats)) / size)).astype(np.int64)
    best = ranked[np.minimum(ranks, n - 1)]
    first = np.searchsorted(ranked, best, side="left")
    ties = np.searchsorted(ranked, best, side="right") - first
    return SubsetWinners(order[first + rng.integers(ties)], n, size, seed)


def best_value(values: ArrayLike, subset_winners: SubsetWinners, level: float = LEVEL) -> BestValue:
    """Return the interval of the best value of a numeric design variable.

    Args:
        values: Values of the variable, one per row of the population, (n,).
        subset_winners: The winners, which all variables of a population share.
        level: Level of the interval.

    Raises:
        AnalysisError: If no winner has a finite value.
    """
    best = np.asarray(values, dtype=np.float64).ravel()[subset_winners.rows]
    finite = best[np.isfinite(best)]
    if not len(finite):
        raise AnalysisError("none of the best networks has a finite value of the variable")
    tail = (1 - level) / 2
    low, median, high = np.quantile(finite, [tail, 0.5, 1 - tail])
    return BestValue(
        low=float(low),
        median=float(median),
        high=float(high),
        level=level,
        n=subset_winners.n,
        dropped=len(best) - len(finite),
    )


def best_choices(values: Sequence[str], subset_winners: SubsetWinners) -> dict[str, float]:
    """Return the share of wins of each value of a categorical variable, most frequent first."""
    rows = subset_winners.rows
    names, counts = np.unique(np.asarray(values, dtype=str)[rows], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): float(counts[i] / len(rows)) for i in order}
