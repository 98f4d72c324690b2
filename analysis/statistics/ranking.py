"""The ranking card: how well a cheap score ranks networks by their true accuracy."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from analysis.errors import AnalysisError, numbers
from analysis.read.runs import plain
from analysis.statistics.intervals import LEVEL

MADDS_TOLERANCE = 0.05
"""Relative difference of MAdds below which two networks are alike in cost."""
BOOTSTRAP_REPEATS = 2_000
SCORE_NAMES = {
    "score": "the estimator",
    "params": "parameters",
    "madds": "MAdds",
    "depth": "depth",
}
"""Name of a score in tables and figures, by column."""


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap percentile interval.

    Attributes:
        value: Statistic of all networks; NaN if it is undefined.
        low: Lower end of the 95% interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """How well one score ranks networks.

    Attributes:
        name: Column of the score.
        tau: Kendall's tau-b with the true accuracy.
        spearman: Spearman's rho with the true accuracy.
        band: Kendall's tau over the pairs whose MAdds differ by less than `MADDS_TOLERANCE`:
            concordant minus discordant pairs, as a share of all these pairs; ties count as neither.
        band_pairs: Number of such pairs.
        precision: By k, the share of the k best networks by score that are among the k truly best.
            Where ties leave these undetermined, it is the mean over all ways to break them.
    """

    name: str
    tau: Interval
    spearman: Interval
    band: Interval
    band_pairs: int
    precision: dict[int, Interval]


@dataclass(frozen=True)
class RankingCard:
    """How well an estimator ranks networks, beside baselines and a ceiling.

    Attributes:
        n: Networks.
        rankings: Rankings by the score first, then by the baselines it must beat.
        seeds: Tau between full training runs of the same networks, the ceiling; None if networks
            were trained once.
        seed: Random seed of the bootstrap.
        repeats: Resamples of the bootstrap.
    """

    n: int
    rankings: tuple[Ranking, ...]
    seeds: Interval | None
    seed: int
    repeats: int

    def to_dict(self) -> dict[str, Any]:
        """Return the card as data for JSON; undefined numbers are None."""
        data: dict[str, Any] = plain(asdict(self))
        return data


def ranking_card(
    table: pd.DataFrame,
    scores: list[str],
    replicates: np.ndarray | None = None,
    seed: int = 0,
    repeats: int = BOOTSTRAP_REPEATS,
) -> RankingCard:
    """Compare scores with true accuracies.

    Args:
        table: One row per network, with the columns ``accuracy`` and ``madds`` and the scores.
        scores: Columns of the scores.
        replicates: Accuracies of several full training runs, (networks, runs).
        seed: Random seed of the bootstrap.
        repeats: Resamples of the bootstrap, which draws networks with replacement.

    Raises:
        AnalysisError: If there are fewer than three networks, or a number is not finite.
    """
    values = numbers(table, ["accuracy", "madds", *scores])
    if len(table) < 3:
        raise AnalysisError(f"a ranking needs at least 3 networks, not {len(table)}")
    if not np.isfinite(values).all():
        raise AnalysisError("a ranking needs finite numbers; leave out networks without a score")
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(table), (repeats, len(table)))
    truth, madds = values[:, 0], values[:, 1]
    return RankingCard(
        n=len(table),
        rankings=tuple(
            _ranking(name, score=values[:, 2 + i], truth=truth, madds=madds, draws=draws)
            for i, name in enumerate(scores)
        ),
        seeds=None if replicates is None else _between_seeds(replicates, draws),
        seed=seed,
        repeats=repeats,
    )


def _ranking(
    name: str, *, score: np.ndarray, truth: np.ndarray, madds: np.ndarray, draws: np.ndarray
) -> Ranking:
    pairs = _Pairs(score, truth, madds)
    return Ranking(
        name=name,
        tau=_interval(lambda rows: float(kendalltau(score[rows], truth[rows])[0]), draws),
        spearman=_interval(lambda rows: float(spearmanr(score[rows], truth[rows])[0]), draws),
        band=_interval(pairs.tau, draws),
        band_pairs=pairs.count,
        precision={
            k: _interval(lambda rows, k=k: precision_at(score[rows], truth[rows], k), draws)
            for k in _precision_ks(len(score))
        },
    )


class _Pairs:
    """The pairs of networks that are alike in cost, and whether score and truth agree on them."""

    def __init__(self, score: np.ndarray, truth: np.ndarray, madds: np.ndarray) -> None:
        self._sign = np.sign(np.subtract.outer(score, score) * np.subtract.outer(truth, truth))
        larger = np.maximum.outer(madds, madds)
        self._alike = np.abs(np.subtract.outer(madds, madds)) < MADDS_TOLERANCE * larger
        # A network that is drawn twice makes a pair with itself, which carries no information.
        np.fill_diagonal(self._alike, False)

    @property
    def count(self) -> int:
        return int(self._alike.sum() // 2)

    def tau(self, rows: np.ndarray) -> float:
        """Return Kendall's tau over the pairs among rows; NaN without such a pair."""
        times = np.bincount(rows, minlength=len(self._sign)).astype(float)
        total = times @ self._alike @ times
        return float(times @ (self._sign * self._alike) @ times / total) if total else float("nan")


def precision_at(score: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Return the share of the k best networks by score that are among the k truly best.

    Networks that tie for the last places share them in equal parts.

    Args:
        score: Scores, (n,).
        truth: True accuracies, (n,).
        k: Number of best networks, at most n.
    """
    return float(_top_probabilities(score, k) @ _top_probabilities(truth, k)) / k


def _top_probabilities(values: np.ndarray, k: int) -> np.ndarray:
    """Return the probability that each value is among the k largest, ties broken at random."""
    last = np.sort(values)[-k]
    above, tied = values > last, values == last
    probabilities: np.ndarray = above + tied * (k - above.sum()) / tied.sum()
    return probabilities


def _precision_ks(n: int) -> list[int]:
    """Return the k of precision at k: 5%, 10% and 25% of n networks, at least 1."""
    return sorted({max(1, round(n * share)) for share in (0.05, 0.1, 0.25)})


def _between_seeds(replicates: np.ndarray, draws: np.ndarray) -> Interval | None:
    """Return the mean tau over all pairs of training runs; None for a single run."""
    runs = replicates.shape[1]
    if runs < 2:
        return None
    pairs = [(i, j) for i in range(runs) for j in range(i)]

    def mean_tau(rows: np.ndarray) -> float:
        taus = [kendalltau(replicates[rows, i], replicates[rows, j])[0] for i, j in pairs]
        return float(np.mean(taus))

    return _interval(mean_tau, draws)


def _interval(statistic: Any, draws: np.ndarray) -> Interval:
    """Return a statistic of all rows with its percentile interval over resamples.

    scipy.stats.bootstrap does not fit: all statistics share the same draws, and draws in which a
    statistic is undefined are left out.

    Args:
        statistic: Function of row numbers.
        draws: Row numbers of each resample, (repeats, n).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a correlation with constant values is NaN
        values = np.array([statistic(rows) for rows in draws])
        value = statistic(np.arange(draws.shape[1]))
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
