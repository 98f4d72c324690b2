"""What all scores of a search together say of each network.

The highest of many noisy scores are partly luck, the more so the more networks were scored (the
winner's curse). A front of such scores promises more than its networks keep. The sampler's model of
accuracy learns from all scores how much of their variation is noise, and what networks with the
same choices scored; its median for a network that was scored is what should be believed of it.
"""

from __future__ import annotations

import numpy as np

from nas.accuracy.prediction.model import AccuracyModel

FEWEST = 10
"""Number of networks below which each is believed to be as good as its score."""
MOST = 2000
"""Number of networks that are modeled together, at most."""


def believed_accuracies(
    encoded: np.ndarray, costs: np.ndarray, accuracies: np.ndarray
) -> np.ndarray:
    """Return what is believed of networks whose accuracy was estimated, shape (n,), in 0..1.

    It is the median of the known-cost sampler's model of accuracy, without the noise. More than
    `MOST` networks are modeled in several parts, each of which is spread over all of them.

    Args:
        encoded: Encodings of the networks, shape (n, features).
        costs: Costs of the networks, shape (n, costs); a cost that is not always positive is
            ignored.
        accuracies: Estimated accuracies, all of them finite and in 0..1, shape (n,).

    Returns:
        The beliefs; the estimates if there are fewer than `FEWEST`, or all are equal.
    """
    if len(accuracies) < FEWEST or np.ptp(accuracies) == 0:
        return accuracies
    positive = (costs > 0).all(axis=0)
    covariates = np.log(costs[:, positive]) if positive.any() else np.zeros((len(costs), 1))
    model = AccuracyModel()
    model.tune(encoded, covariates, accuracies)
    beliefs = np.empty(len(accuracies))
    parts = -(-len(accuracies) // MOST)
    for part in (slice(first, None, parts) for first in range(parts)):
        model.condition(encoded[part], covariates[part], accuracies[part])
        beliefs[part] = model.median(encoded[part], covariates[part])
    return np.maximum(beliefs, 0.0)
