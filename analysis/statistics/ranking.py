"""How well scores rank networks: the ranking card."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from analysis.errors import AnalysisError
from analysis.read.runs import plain

BAND = 0.05  # pairs of networks whose MAdds differ by less are alike in cost
REPEATS = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap percentile interval.

    Attributes:
        value: of the networks as they are; NaN where there are too few.
        low: lower end at 95%.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """How one score ranks networks.

    Attributes:
        name: of the score.
        tau: Kendall's tau-b with the true accuracy.
        spearman: Spearman's rho with it.
        band: Kendall's tau of the pairs whose MAdds differ by less than `BAND`: concordant less
            discordant ones, as a share of them; ties count as neither.
        band_pairs: how many such pairs there are.
        precision: by k, the share of the k best by score that are among the k truly best; where
            ties leave open which are, the mean over all ways to break them.
    """

    name: str
    tau: Interval
    spearman: Interval
    band: Interval
    band_pairs: int
    precision: dict[int, Interval]


@dataclass(frozen=True)
class RankingCard:
    """Whether a score can be believed.

    Attributes:
        n: networks.
        rankings: of the score first, then of what it must beat.
        seeds: tau of one full training with another of the same networks, the ceiling; None where
            networks were trained once.
        seed: of the bootstrap.
        repeats: of the bootstrap.
    """

    n: int
    rankings: tuple[Ranking, ...]
    seeds: Interval | None
    seed: int
    repeats: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, None for numbers that are not known."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def ranking_card(
    table: pd.DataFrame,
    scores: list[str],
    replicates: np.ndarray | None = None,
    seed: int = 0,
    repeats: int = REPEATS,
) -> RankingCard:
    """Compare scores with true accuracies.

    Args:
        table: one row a network, with the columns ``accuracy``, ``madds`` and those of the scores.
        scores: columns to judge.
        replicates: accuracies of several full trainings, shape (networks, trainings).
        seed: of the bootstrap.
        repeats: of the bootstrap, which draws networks with replacement.

    Raises:
        AnalysisError: when there are fewer than three networks, or a number is not finite.
    """
    columns = ["accuracy", "madds", *scores]
    numbers = table[columns].to_numpy(dtype=float)
    if len(table) < 3:
        raise AnalysisError(f"a ranking wants at least 3 networks, not {len(table)}")
    if not np.isfinite(numbers).all():
        raise AnalysisError("a ranking wants finite numbers; leave out networks without a score")
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(table), (repeats, len(table)))
    truth, madds = numbers[:, 0], numbers[:, 1]
    rankings = tuple(
        _ranking(name, numbers[:, 2 + i], truth, madds, draws) for i, name in enumerate(scores)
    )
    between = None if replicates is None else _between_seeds(replicates, draws)
    return RankingCard(len(table), rankings, between, seed, repeats)


def _ranking(
    name: str, score: np.ndarray, truth: np.ndarray, madds: np.ndarray, draws: np.ndarray
) -> Ranking:
    pairs = _Pairs(score, truth, madds)
    return Ranking(
        name,
        _interval(lambda index: float(kendalltau(score[index], truth[index])[0]), draws),
        _interval(lambda index: float(spearmanr(score[index], truth[index])[0]), draws),
        _interval(pairs.band, draws),
        pairs.count,
        {
            k: _interval(lambda index, k=k: precision_at(score[index], truth[index], k), draws)
            for k in _tops(len(score))
        },
    )


class _Pairs:
    """Agreement of all pairs, and which of them are alike in cost."""

    def __init__(self, score: np.ndarray, truth: np.ndarray, madds: np.ndarray) -> None:
        self._sign = np.sign(np.subtract.outer(score, score) * np.subtract.outer(truth, truth))
        largest = np.maximum.outer(madds, madds)
        self._alike = np.abs(np.subtract.outer(madds, madds)) < BAND * largest
        np.fill_diagonal(self._alike, False)

    @property
    def count(self) -> int:
        return int(self._alike.sum() // 2)

    def band(self, index: np.ndarray) -> float:
        # A network drawn twice makes a pair with itself, which says nothing: its diagonal is off.
        times = np.bincount(index, minlength=len(self._sign)).astype(float)
        total = times @ self._alike @ times
        return float(times @ (self._sign * self._alike) @ times / total) if total else float("nan")


def precision_at(score: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Return the share of the k best by score that are among the k truly best.

    Of networks that tie for the last places, each has its chance of one.
    """
    return float(_chances(score, k) @ _chances(truth, k)) / k


def _chances(values: np.ndarray, k: int) -> np.ndarray:
    """Return the probability of each value to be among the k largest, ties broken at random."""
    last = np.sort(values)[-k]
    above, tied = values > last, values == last
    chances: np.ndarray = above + tied * (k - above.sum()) / tied.sum()
    return chances


def _tops(n: int) -> list[int]:
    return sorted({max(1, round(n * share)) for share in (0.05, 0.1, 0.25)})


def _between_seeds(replicates: np.ndarray, draws: np.ndarray) -> Interval | None:
    count = replicates.shape[1]
    if count < 2:
        return None
    pairs = [(i, j) for i in range(count) for j in range(i)]

    def mean_tau(index: np.ndarray) -> float:
        found = [kendalltau(replicates[index, i], replicates[index, j])[0] for i, j in pairs]
        return float(np.mean(found))

    return _interval(mean_tau, draws)


def _interval(statistic: Any, draws: np.ndarray) -> Interval:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where all are equal there is no correlation: NaN
        values = np.array([statistic(index) for index in draws])
        value = statistic(np.arange(draws.shape[1]))
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
