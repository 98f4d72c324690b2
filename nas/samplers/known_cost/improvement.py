"""What a network may add to what is known: exact expected improvements when costs are known.

With one uncertain number (accuracy) and costs known beforehand, the hypervolume that a network adds
is a piecewise linear function of its accuracy, so its expectation is a finite sum of
one-dimensional expected improvements; no sampling, no box decomposition of the accuracy axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

ExpectedExcess = Callable[[np.ndarray], np.ndarray]
"""Levels of accuracy, shape (networks, levels) -> E[max(0, accuracy - level)], the same shape."""

_CELLS = 4_000_000  # numbers held at once
_GRID = 1 << 18  # cells that the cost axes are cut into, at most
MOST_COSTS = 3


class Improvement(Protocol):
    """What a network adds to those observed."""

    def expected(self, costs: np.ndarray, excess: ExpectedExcess) -> np.ndarray:
        """Return the expected improvement of networks.

        Args:
            costs: shape (networks, costs).
            excess: of the networks' accuracies over levels.
        """
        ...


class HypervolumeImprovement:
    """Gain in the volume that observed networks dominate, up to a reference point.

    It is exact up to 512 networks on the front of two costs and 64 on that of three; where there
    are more, costs are rounded up to so many values.
    """

    def __init__(
        self,
        accuracies: np.ndarray,
        costs: np.ndarray,
        reference_accuracy: float,
        reference_costs: np.ndarray,
    ) -> None:
        """Cut the cost axes where an observed network begins to dominate.

        Args:
            accuracies: of observed networks, shape (n,); maximised.
            costs: of the same, shape (n, k); minimised, k at most `MOST_COSTS`.
            reference_accuracy: that is worth nothing.
            reference_costs: that are worth nothing, shape (k,).
        """
        front = _front(accuracies, costs)
        accuracies, costs = accuracies[front], _rounded_up(costs[front])
        edges = [
            np.concatenate([[-np.inf], np.unique(column[column < end]), [end]])
            for column, end in zip(costs.T, reference_costs, strict=True)
        ]
        best = np.full([len(e) - 1 for e in edges], float(reference_accuracy))
        inside = (costs < reference_costs).all(1)
        places = [np.searchsorted(e, c) for e, c in zip(edges, costs[inside].T, strict=True)]
        np.maximum.at(best, tuple(places), accuracies[inside])
        for axis in range(best.ndim):
            best = np.maximum.accumulate(best, axis)
        self._lower, self._upper, levels = _boxes(best, edges)
        self._levels, self._begins = np.unique(levels, return_index=True)

    def expected(self, costs: np.ndarray, excess: ExpectedExcess) -> np.ndarray:
        """See `Improvement`."""
        volumes = np.zeros((len(costs), len(self._levels)))
        rows = max(1, _CELLS // len(self._lower))
        for begin in range(0, len(costs), rows):
            part = self._overlaps(costs[begin : begin + rows])
            volumes[begin : begin + rows] = np.add.reduceat(part, self._begins, axis=1)
        return np.asarray((volumes * excess(self._levels[None, :])).sum(1))

    def _overlaps(self, costs: np.ndarray) -> np.ndarray:
        """Return the volume of each box that networks dominate, shape (networks, boxes)."""
        result = np.ones((len(costs), len(self._lower)))
        for column, lower, upper in zip(costs.T, self._lower.T, self._upper.T, strict=True):
            result *= np.maximum(upper - np.maximum(lower, column[:, None]), 0.0)
        return result


def _rounded_up(costs: np.ndarray) -> np.ndarray:
    """Return costs with so few different values that the grid of them stays small."""
    most = int(_GRID ** (1 / costs.shape[1]))
    columns = []
    for column in costs.T:
        values = np.unique(column)
        if len(values) > most:
            values = values[np.linspace(0, len(values) - 1, most).round().astype(int)]
        columns.append(values[np.searchsorted(values, column)])
    return np.stack(columns, axis=1)


def _boxes(best: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the cells along the last axis that have the same level, and order them by it.

    Of the cells of three costs that leaves one in ten, or fewer.

    Returns:
        Lower corners, upper corners, and levels, rising.
    """
    lines = best.reshape(-1, best.shape[-1])
    new = np.ones(lines.shape, dtype=bool)
    new[:, 1:] = lines[:, 1:] != lines[:, :-1]
    line, first = np.nonzero(new)
    # The next box begins where this one ends, unless it is the last one of its line.
    after = np.append(first[1:], 0)
    after[after == 0] = best.shape[-1]
    levels = lines[line, first]
    order = np.argsort(levels, kind="stable")
    starts = [*np.unravel_index(line, best.shape[:-1]), first] if best.ndim > 1 else [first]
    ends = [*(start + 1 for start in starts[:-1]), after]
    lower = np.stack([e[i[order]] for e, i in zip(edges, starts, strict=True)], axis=1)
    upper = np.stack([e[i[order]] for e, i in zip(edges, ends, strict=True)], axis=1)
    return lower, upper, levels[order]


class RewardImprovement:
    """Gain over the best reward, for a reward that is linear in accuracy at given costs."""

    def __init__(
        self,
        reward: Callable[[float, np.ndarray], float],
        accuracies: np.ndarray,
        costs: np.ndarray,
    ) -> None:
        """Take the observed networks.

        Args:
            reward: of an accuracy and the costs of one network, shape (k,).
            accuracies: shape (n,).
            costs: shape (n, k).
        """
        self._reward = reward
        pairs = zip(accuracies, costs, strict=True)
        self._best = max(reward(float(accuracy), cost) for accuracy, cost in pairs)

    def expected(self, costs: np.ndarray, excess: ExpectedExcess) -> np.ndarray:
        """See `Improvement`."""
        offset = np.array([self._reward(0.0, cost) for cost in costs])
        slope = np.array([self._reward(1.0, cost) for cost in costs]) - offset
        slope = np.maximum(slope, 1e-12)
        return np.asarray(slope * excess(((self._best - offset) / slope)[:, None])[:, 0])


def _front(accuracies: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the indices of networks that no other one dominates."""
    order = np.lexsort((-accuracies, costs[:, 0]))
    kept = np.zeros(len(order), dtype=bool)
    for i in order:
        no_worse = kept & (accuracies >= accuracies[i]) & (costs <= costs[i]).all(1)
        kept[i] = not no_worse.any()
    return order[kept[order]]


def reference_accuracy(accuracies: np.ndarray, costs: np.ndarray) -> float:
    """Return a reference a tenth of the front's range below its worst accuracy.

    A network that failed to learn would otherwise stretch the volume at the cheap end.
    """
    front = accuracies[_front(accuracies, costs)]
    return float(front.min() - 0.1 * (np.ptp(front) or abs(front.min()) or 1.0))
