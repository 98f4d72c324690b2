"""A regression from amounts of work to latency, for about a hundred measured networks.

Latency is modeled as a linear combination of amounts of work (`nas.latency.prediction.features`)
with non-negative coefficients, fitted by least squares on relative errors. Gaussian processes over
the same amounts, for whole networks or layer by layer, did not improve the predictions. The error
that remains is about twice that of the measurements, and due to the model: layers share caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

RIDGE = 0.02  # penalty that stabilizes the coefficients of collinear features
_TINY = 1e-12


class LatencyModel:
    """Predicts the latency of networks in milliseconds from their features."""

    def __init__(
        self,
        features: Sequence[Mapping[str, float]],
        latencies_ms: np.ndarray,
        trust: np.ndarray | None = None,
    ) -> None:
        """Fit the model; the same data give the same model.

        Args:
            features: Amounts of work by kind, one mapping per network.
            latencies_ms: Measured latencies in milliseconds, shape (networks,).
            trust: Weights of the relative errors, shape (networks,), 1 for a reliable
                measurement; None for equal weights.
        """
        self.names = sorted({name for row in features for name in row})
        weights = np.ones(len(latencies_ms)) if trust is None else trust
        work = self._table(features)
        self._scale = work.mean(axis=0) + _TINY
        amounts = self._amounts(work)
        count = amounts.shape[1]
        ridge = RIDGE * np.sqrt(len(latencies_ms)) / count * np.eye(count)
        system = np.vstack([amounts * (weights / latencies_ms)[:, None], ridge])
        self._coefficients, _ = nnls(system, np.concatenate([weights, np.zeros(count)]))
        units = (self._coefficients[:-1] / self._scale).tolist()
        self._unit_ms: dict[str, float] = dict(zip(self.names, units, strict=True))

    def _table(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        return np.array([[row.get(name, 0.0) for name in self.names] for row in features])

    def _amounts(self, work: np.ndarray) -> np.ndarray:
        """Return work in units of its mean over the training networks, with an intercept column."""
        return np.hstack([work / self._scale, np.ones((len(work), 1))])

    @property
    def constant_ms(self) -> float:
        """Intercept: the time that every network takes, in milliseconds."""
        return float(self._coefficients[-1])

    def part_ms(self, features: Mapping[str, float]) -> float:
        """Return the contribution of a part of a network in milliseconds, without `constant_ms`."""
        return sum(self._unit_ms.get(name, 0.0) * amount for name, amount in features.items())

    def predict(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Return latencies in milliseconds, shape (networks,).

        Kinds of work that no training network had are ignored.
        """
        latencies: np.ndarray = self._amounts(self._table(features)) @ self._coefficients
        return latencies
