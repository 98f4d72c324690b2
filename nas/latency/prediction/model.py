"""A regression from amounts of work to latency, for some hundred measured networks.

Latency is a sum of non-negative multiples of work (`nas.latency.prediction.features`), found by
least squares of relative errors. Gaussian processes over the same amounts, of whole networks or
layer by layer, were tried on top and added nothing: what is left is the error of the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

RIDGE = 0.02  # keeps multiples of work that always occurs together from trading places
_TINY = 1e-12


class LatencyModel:
    """Latency of networks in milliseconds, from their features."""

    def __init__(
        self,
        features: Sequence[Mapping[str, float]],
        latencies_ms: np.ndarray,
        trust: np.ndarray | None = None,
    ) -> None:
        """Fit; the same data give the same model.

        Args:
            features: of every network.
            latencies_ms: of every network.
            trust: in every latency, 1 in full; all alike if None.
        """
        self.names = sorted({name for row in features for name in row})
        weights = np.ones(len(latencies_ms)) if trust is None else trust
        work = self._table(features)
        self._scale = work.mean(axis=0) + _TINY
        amounts = self._amounts(work)
        count = amounts.shape[1]
        ridge = RIDGE * np.sqrt(len(latencies_ms)) / count * np.eye(count)
        system = np.vstack([amounts * (weights / latencies_ms)[:, None], ridge])
        self._multiples, _ = nnls(system, np.concatenate([weights, np.zeros(count)]))

    def _table(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        return np.array([[row.get(name, 0.0) for name in self.names] for row in features])

    def _amounts(self, work: np.ndarray) -> np.ndarray:
        """Return work in units of the usual amount, and one column for what every network has."""
        return np.hstack([work / self._scale, np.ones((len(work), 1))])

    @property
    def constant_ms(self) -> float:
        """What every network takes, whatever its work."""
        return float(self._multiples[-1])

    def part_ms(self, features: Mapping[str, float]) -> float:
        """Return what a part of a network adds, without `constant_ms`."""
        return float((self._table([features]) / self._scale)[0] @ self._multiples[:-1])

    def predict(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Return latencies in milliseconds; work of a kind that was never seen is not counted."""
        latencies: np.ndarray = self._amounts(self._table(features)) @ self._multiples
        return latencies
