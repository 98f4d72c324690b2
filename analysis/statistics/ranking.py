"""The ranking card: how well a cheap score ranks networks by their true accuracy."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, kendalltau, spearmanr

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
ONE_RUN = "one more training run"
"""Name of `RankingCard.seeds` in tables and figures."""


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
        band: Kendall's tau over the pairs that are alike in cost, whose MAdds differ by less than
            `MADDS_TOLERANCE` unless another tolerance is asked for: concordant minus discordant
            pairs, as a share of all these pairs; ties count as neither.
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
    """How well an estimator ranks networks, beside baselines and another full training.

    Attributes:
        n: Networks.
        rankings: Rankings by the score first, then by the baselines it must beat.
        seeds: Tau of a single full training run with the mean of the others, averaged over the
            runs; None if networks were trained once. It tells how well one more training run would
            rank the networks. It is no upper bound: a score without the noise of a training run
            can rank better. In cards of earlier versions it is the tau of two single runs.
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
    tolerance: float = MADDS_TOLERANCE,
) -> RankingCard:
    """Compare scores with true accuracies.

    Args:
        table: One row per network, with the columns ``accuracy`` and ``madds`` and the scores.
        scores: Columns of the scores.
        replicates: Accuracies of several full training runs, (networks, runs).
        seed: Random seed of the bootstrap.
        repeats: Resamples of the bootstrap, which draws networks with replacement.
        tolerance: Relative difference of MAdds below which two networks are alike in cost.

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
    truth, alike = values[:, 0], _alike(values[:, 1], tolerance)
    return RankingCard(
        n=len(table),
        rankings=tuple(
            _ranking(name, values[:, 2 + i], truth, alike, draws) for i, name in enumerate(scores)
        ),
        seeds=None if replicates is None else _one_run(replicates, draws),
        seed=seed,
        repeats=repeats,
    )


def _ranking(
    name: str, score: np.ndarray, truth: np.ndarray, alike: np.ndarray, draws: np.ndarray
) -> Ranking:
    pairs = _Pairs(score, truth, alike)
    return Ranking(
        name=name,
        tau=_interval(lambda rows: float(kendalltau(score[rows], truth[rows])[0]), draws),
        spearman=_interval(lambda rows: float(spearmanr(score[rows], truth[rows])[0]), draws),
        band=_interval(pairs.tau, draws),
        band_pairs=pairs.count,
        precision={
            k: _interval(lambda rows, k=k: _drawn_precision(score, truth, rows, k), draws)
            for k in _precision_ks(len(score))
        },
    )


def _alike(madds: np.ndarray, tolerance: float) -> np.ndarray:
    """Return which pairs of networks are alike in cost, truth values (n, n)."""
    larger = np.maximum.outer(madds, madds)
    alike: np.ndarray = np.abs(np.subtract.outer(madds, madds)) < tolerance * larger
    # A network that is drawn twice makes a pair with itself, which carries no information.
    np.fill_diagonal(alike, False)
    return alike


class _Pairs:
    """The pairs of networks that are alike in cost, and whether score and truth agree on them."""

    def __init__(self, score: np.ndarray, truth: np.ndarray, alike: np.ndarray) -> None:
        self._sign = np.sign(np.subtract.outer(score, score) * np.subtract.outer(truth, truth))
        self._alike = alike

    @property
    def count(self) -> int:
        return int(self._alike.sum() // 2)

    def tau(self, rows: np.ndarray) -> float:
        """Return Kendall's tau over the pairs among rows; NaN without such a pair."""
        times = np.bincount(rows, minlength=len(self._sign)).astype(float)
        total = times @ self._alike @ times
        return float(times @ (self._sign * self._alike) @ times / total) if total else float("nan")


def precision_at(
    score: np.ndarray, truth: np.ndarray, k: int, times: np.ndarray | None = None
) -> float:
    """Return the share of the k best networks by score that are among the k truly best.

    Networks that tie for the last places share them in equal parts, the mean over all ways to break
    the ties.

    Args:
        score: Scores, (n,).
        truth: True accuracies, (n,).
        k: Number of best networks, at most n.
        times: How often each network counts, as in a resample, (n,); once if None. Copies of a
            network are the same network: if c of them are among the best by score and d among the
            truly best, it adds the smaller of the two.
    """
    counts = np.ones(len(score), dtype=np.int64) if times is None else times
    by_score, by_truth = (_top_copies(values, k, counts) for values in (score, truth))
    return float((by_score * by_truth).sum()) / k


def _drawn_precision(score: np.ndarray, truth: np.ndarray, rows: np.ndarray, k: int) -> float:
    """Return the precision at k of a resample, which holds some networks several times."""
    times = np.bincount(rows, minlength=len(score))
    drawn = times > 0
    return precision_at(score[drawn], truth[drawn], k, times[drawn])


def _top_copies(values: np.ndarray, k: int, times: np.ndarray) -> np.ndarray:
    """Return the probability that at least j copies of a network are among the k largest.

    Ties are broken at random.

    Returns:
        Probabilities, (n, most copies); column j - 1 is for j copies.
    """
    order = np.argsort(-values, kind="stable")
    last = values[order][np.searchsorted(np.cumsum(times[order]), k)]
    above, tied = values > last, values == last
    places = k - times[above].sum()  # that the networks which tie for the last places share
    copies = np.arange(1, times.max() + 1)
    probabilities: np.ndarray = (above[:, None] & (copies <= times[:, None])).astype(float)
    if tied.sum() == 1:
        probabilities[tied] = copies <= places
    else:
        own = times[tied][:, None]
        probabilities[tied] = hypergeom.sf(copies - 1, own.sum(), own, places)
    return probabilities


def _precision_ks(n: int) -> list[int]:
    """Return the k of precision at k: 5%, 10% and 25% of n networks, at least 1."""
    return sorted({max(1, round(n * share)) for share in (0.05, 0.1, 0.25)})


def _one_run(replicates: np.ndarray, draws: np.ndarray) -> Interval | None:
    """Return the mean tau of each training run with the mean of the others; None for one run."""
    runs = replicates.shape[1]
    if runs < 2:
        return None
    rest = [np.delete(replicates, i, axis=1).mean(axis=1) for i in range(runs)]

    def mean_tau(rows: np.ndarray) -> float:
        taus = [kendalltau(replicates[rows, i], rest[i][rows])[0] for i in range(runs)]
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
