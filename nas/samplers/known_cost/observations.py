"""Which observations the accuracy model uses, and when its hyperparameters are fitted again."""

from __future__ import annotations

import numpy as np

from nas.accuracy.prediction.model import KEEP_MOST


def tuning_milestone(n: int) -> int:
    """Return the number of observations, at most n, at which hyperparameters were last fitted.

    They are fitted at every observation up to 32, then whenever the number has grown by an eighth.
    """
    if n <= 32:
        return n
    milestone = 32
    while (following := milestone + max(2, milestone // 8)) <= n:
        milestone = following
    return milestone


def informative_subset(accuracies: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the indices of `KEEP_MOST` observations, in ascending order.

    Half of them are the nearest below the Pareto front of accuracy and first cost; the others are
    spread evenly over the remaining observations.

    Args:
        accuracies: Accuracies of the observed networks, shape (n,), with n at least `KEEP_MOST`.
        costs: Costs of the observed networks, shape (n, k).
    """
    order = np.argsort(costs[:, 0], kind="stable")
    best_so_far = np.maximum.accumulate(accuracies[order])
    shortfall = np.empty(len(order))
    shortfall[order] = best_so_far - accuracies[order]
    nearest_first = np.argsort(shortfall, kind="stable")
    half = KEEP_MOST // 2
    rest = np.sort(nearest_first[half:])
    spread = rest[np.linspace(0, len(rest) - 1, KEEP_MOST - half).astype(int)]
    return np.sort(np.concatenate([nearest_first[:half], spread]))
