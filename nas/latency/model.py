"""A regression from amounts of work to latency, for some hundred measured networks.

Latency is a sum of non-negative multiples of work (`nas.latency.features`), found by least squares
of relative errors; what the sum misses is small and smooth, and a Gaussian process over the logs
of the amounts takes it up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

RIDGE = 0.02  # keeps multiples of work that always occurs together from trading places
_TINY = 1e-12


class LatencyModel:
    """Latency of networks in milliseconds, from their features."""

    def __init__(self, features: Sequence[Mapping[str, float]], latencies_ms: np.ndarray) -> None:
        """Fit; the same data give the same model.

        Args:
            features: of every network.
            latencies_ms: of every network.
        """
        self.names = sorted({name for row in features for name in row})
        work = self._table(features)
        self._scale = work.mean(axis=0) + _TINY
        amounts = self._amounts(work)
        count = amounts.shape[1]
        ridge = RIDGE * np.sqrt(len(latencies_ms)) / count * np.eye(count)
        system = np.vstack([amounts / latencies_ms[:, None], ridge])
        ones = np.concatenate([np.ones(len(latencies_ms)), np.zeros(count)])
        self._multiples, _ = nnls(system, ones)
        logs = np.log1p(work / self._scale)
        self._mean, self._spread = logs.mean(axis=0), logs.std(axis=0) + _TINY
        missed = np.log(latencies_ms / (amounts @ self._multiples))
        self._rest = self._process().fit(self._standardised(work), missed)

    @staticmethod
    def _process() -> GaussianProcessRegressor:
        kernel = ConstantKernel(1e-2, (1e-6, 1.0)) * RBF(8.0, (1.0, 100.0)) + WhiteKernel(
            1e-3, (1e-5, 1e-2)
        )
        return GaussianProcessRegressor(kernel, n_restarts_optimizer=2, random_state=0)

    def _table(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        return np.array([[row.get(name, 0.0) for name in self.names] for row in features])

    def _amounts(self, work: np.ndarray) -> np.ndarray:
        return np.hstack([work / self._scale, np.ones((len(work), 1))])

    def _standardised(self, work: np.ndarray) -> np.ndarray:
        standardised: np.ndarray = (np.log1p(work / self._scale) - self._mean) / self._spread
        return standardised

    def predict(self, features: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Return latencies in milliseconds; work of a kind that was never seen is not counted."""
        work = self._table(features)
        rest: np.ndarray = self._rest.predict(self._standardised(work))
        latencies: np.ndarray = (self._amounts(work) @ self._multiples) * np.exp(rest)
        return latencies
