"""Exact expected improvements for networks whose costs are known and whose accuracy is not.

With accuracy as the only uncertain objective, the hypervolume that a network adds is a piecewise
linear function of its accuracy. Its expectation is therefore a finite sum of one-dimensional
expected improvements: neither sampling nor a box decomposition of the accuracy axis is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import moocore
import numpy as np

ExpectedExcess = Callable[[np.ndarray], np.ndarray]
"""Maps accuracy levels, shape (networks, levels), to E[max(0, accuracy - level)] of the same shape.

Levels of shape (1, levels) are broadcast over the networks.
"""

MAX_COSTS = 3
_MAX_CELLS = 1 << 18  # cells of the grid over the cost axes
_CHUNK_SIZE = 4_000_000  # array elements computed at once, to bound the memory


class Improvement(Protocol):
    """The improvement of a network over the observed ones."""

    def expected(self, costs: np.ndarray, expected_excess: ExpectedExcess) -> np.ndarray:
        """Return the expected improvement of networks.

        Args:
            costs: Costs of the networks, shape (networks, costs).
            expected_excess: Expected excess of the networks' accuracies over levels.

        Returns:
            Expected improvements, shape (networks,).
        """
        ...


class HypervolumeImprovement:
    """Increase of the hypervolume that is dominated within a reference point.

    The result is exact for any front with one cost, for fronts of up to 512 networks with two
    costs, and of up to 63 with three. For larger fronts, the costs are rounded up to that many
    values.
    """

    def __init__(
        self,
        accuracies: np.ndarray,
        costs: np.ndarray,
        reference_accuracy: float,
        reference_costs: np.ndarray,
    ) -> None:
        """Divide the cost axes into cells at the costs of the observed networks.

        Args:
            accuracies: Accuracies of the observed networks, shape (n,); to be maximized.
            costs: Costs of the observed networks, shape (n, k); to be minimized, with k at most
                `MAX_COSTS`.
            reference_accuracy: Accuracy of the reference point.
            reference_costs: Costs of the reference point, shape (k,).
        """
        front = nondominated(accuracies, costs)
        accuracies, costs = accuracies[front], _rounded_up(costs[front])
        edges = [
            np.concatenate([[-np.inf], np.unique(column[column < end]), [end]])
            for column, end in zip(costs.T, reference_costs, strict=True)
        ]
        # best[cell]: the highest accuracy of networks that cost at most the cell's lower edge
        best = np.full([len(e) - 1 for e in edges], float(reference_accuracy))
        inside = (costs < reference_costs).all(1)
        cells = [np.searchsorted(e, c) for e, c in zip(edges, costs[inside].T, strict=True)]
        np.maximum.at(best, tuple(cells), accuracies[inside])
        for axis in range(best.ndim):
            best = np.maximum.accumulate(best, axis)
        self._lower, self._upper, levels = _boxes(best, edges)
        self._levels, self._level_starts = np.unique(levels, return_index=True)

    def expected(self, costs: np.ndarray, expected_excess: ExpectedExcess) -> np.ndarray:
        """See `Improvement`."""
        volumes = np.zeros((len(costs), len(self._levels)))
        rows = max(1, _CHUNK_SIZE // len(self._lower))
        for begin in range(0, len(costs), rows):
            overlaps = self._overlaps(costs[begin : begin + rows])
            volumes[begin : begin + rows] = np.add.reduceat(overlaps, self._level_starts, axis=1)
        return np.asarray((volumes * expected_excess(self._levels[None, :])).sum(1))

    def _overlaps(self, costs: np.ndarray) -> np.ndarray:
        """Return the volume of each box that is dominated in costs, shape (networks, boxes)."""
        result = np.ones((len(costs), len(self._lower)))
        for column, lower, upper in zip(costs.T, self._lower.T, self._upper.T, strict=True):
            result *= np.maximum(upper - np.maximum(lower, column[:, None]), 0.0)
        return result


def _rounded_up(costs: np.ndarray) -> np.ndarray:
    """Return costs rounded up to so few distinct values that the grid has at most `_MAX_CELLS`."""
    max_values = int(_MAX_CELLS ** (1 / costs.shape[1]))
    columns = []
    for column in costs.T:
        values = np.unique(column)
        if len(values) > max_values:
            values = values[np.linspace(0, len(values) - 1, max_values).round().astype(int)]
        columns.append(values[np.searchsorted(values, column)])
    return np.stack(columns, axis=1)


def _boxes(best: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge neighboring cells of equal level along the last axis, and sort the boxes by level.

    With three costs, at most a tenth as many boxes as cells remain.

    Args:
        best: Level of each cell, one axis per cost.
        edges: Edges of the cells along each axis.

    Returns:
        Lower corners, shape (boxes, costs); upper corners, likewise; levels in ascending order,
        shape (boxes,).
    """
    lines = best.reshape(-1, best.shape[-1])
    begins = np.ones(lines.shape, dtype=bool)
    begins[:, 1:] = lines[:, 1:] != lines[:, :-1]
    line, first = np.nonzero(begins)
    # A box ends where the next one begins, except for the last box of a line.
    stop = np.append(first[1:], 0)
    stop[stop == 0] = best.shape[-1]
    levels = lines[line, first]
    order = np.argsort(levels, kind="stable")
    starts = [*np.unravel_index(line, best.shape[:-1]), first] if best.ndim > 1 else [first]
    ends = [*(start + 1 for start in starts[:-1]), stop]
    lower = np.stack([e[i[order]] for e, i in zip(edges, starts, strict=True)], axis=1)
    upper = np.stack([e[i[order]] for e, i in zip(edges, ends, strict=True)], axis=1)
    return lower, upper, levels[order]


class RewardImprovement:
    """Increase of the best reward, for a reward that is linear in accuracy at given costs."""

    def __init__(
        self,
        reward: Callable[[float, np.ndarray], float],
        accuracies: np.ndarray,
        costs: np.ndarray,
    ) -> None:
        """Find the best reward of the observed networks.

        Args:
            reward: Function of the accuracy and the costs, shape (k,), of one network.
            accuracies: Accuracies of the observed networks, shape (n,).
            costs: Costs of the observed networks, shape (n, k).
        """
        self._reward = reward
        pairs = zip(accuracies, costs, strict=True)
        self._best = max(reward(float(accuracy), cost) for accuracy, cost in pairs)

    def expected(self, costs: np.ndarray, expected_excess: ExpectedExcess) -> np.ndarray:
        """See `Improvement`."""
        offset = np.array([self._reward(0.0, cost) for cost in costs])
        slope = np.array([self._reward(1.0, cost) for cost in costs]) - offset
        slope = np.maximum(slope, 1e-12)
        return np.asarray(slope * expected_excess(((self._best - offset) / slope)[:, None])[:, 0])


def nondominated(accuracies: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return a mask of the networks on the Pareto front, shape (n,); one of each set of equals."""
    objectives = np.column_stack([-accuracies, costs])
    return np.asarray(moocore.is_nondominated(objectives, keep_weakly=False))


def reference_accuracy(accuracies: np.ndarray, costs: np.ndarray) -> float:
    """Return the worst accuracy on the Pareto front, less a tenth of the front's range.

    Only the front counts, because a network that failed to learn would otherwise inflate the
    volume at the cheap end.

    Args:
        accuracies: Accuracies of the observed networks, shape (n,).
        costs: Costs of the observed networks, shape (n, k).
    """
    front = accuracies[nondominated(accuracies, costs)]
    return float(front.min() - 0.1 * (np.ptp(front) or abs(front.min()) or 1.0))
