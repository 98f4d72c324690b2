"""A Gaussian process of accuracy, on the encoding of a space and what is cheap to know.

Errors shrink by factors, not by steps, as networks grow, so it is the logarithm of the error that
is modelled: on that scale the same change to a network counts the same at 70% and at 95%.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

from nas.samplers.known_cost.kernel import PRIOR_DEVIATION, PRIOR_MEAN, kernel

SMALLEST_ERROR = 1e-3  # of the ceiling; what a finite validation set can tell from none
FIT_MOST = 256  # observations that hyperparameters are fitted to
KEEP_MOST = 1000  # observations that a prediction rests on; keeps the time of one ask bounded
_JITTER = 1e-6


class AccuracyModel:
    """Accuracy as a Gaussian process: posterior means, and expected excess over levels.

    The kernel is Matern 5/2 of the encoding times Matern 5/2 of the hints (networks are alike when
    both their choices and their costs are), plus a linear term in the encoding (every choice has a
    tendency of its own), plus noise.
    """

    def __init__(self, max_score: float | None = 1.0) -> None:
        """Choose the scale.

        Args:
            max_score: the accuracy that no network exceeds (1, or 100 for percent); None for
                scores without one, which are modelled as they are.
        """
        self.max_score = max_score
        self._theta: np.ndarray | None = None

    # -- scales -----------------------------------------------------------------------------

    def _to_scale(self, accuracies: np.ndarray) -> np.ndarray:
        if self.max_score is None:
            return accuracies
        error = np.maximum(self.max_score - accuracies, SMALLEST_ERROR * self.max_score)
        return np.asarray(-np.log(error))

    def _from_scale(self, values: np.ndarray) -> np.ndarray:
        return values if self.max_score is None else self.max_score - np.exp(-values)

    # -- learning ---------------------------------------------------------------------------

    def tune(self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray) -> None:
        """Find hyperparameters: the maximum a posteriori for some observations."""
        every = -(-len(accuracies) // FIT_MOST)
        encoded, covariates, accuracies = encoded[::every], covariates[::every], accuracies[::every]
        self._set_scales(encoded, covariates, accuracies)
        process = _Process(kernel(encoded.shape[1]), alpha=_JITTER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(self._inputs(encoded, covariates), self._targets(accuracies))
        self._theta = process.kernel_.theta

    def condition(
        self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray
    ) -> None:
        """Learn observations, with the hyperparameters that were found.

        Args:
            encoded: shape (n, features).
            covariates: shape (n, hints).
            accuracies: shape (n,).
        """
        self._set_scales(encoded, covariates, accuracies)
        shape = kernel(encoded.shape[1])
        if self._theta is not None:
            shape = shape.clone_with_theta(self._theta)
        self._process = GaussianProcessRegressor(shape, alpha=_JITTER, optimizer=None)
        self._process.fit(self._inputs(encoded, covariates), self._targets(accuracies))

    def _set_scales(
        self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray
    ) -> None:
        self._middle = encoded.mean(0)
        self._radius = np.sqrt(encoded.var(0).sum()) + 1e-9
        self._hints_mean, self._hints_scale = covariates.mean(0), covariates.std(0) + 1e-9
        values = self._to_scale(accuracies)
        self._mean, self._scale = values.mean(), values.std() + 1e-9

    def _inputs(self, encoded: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        standard = (covariates - self._hints_mean) / self._hints_scale
        return np.concatenate([(encoded - self._middle) / self._radius, standard], axis=1)

    def _targets(self, accuracies: np.ndarray) -> np.ndarray:
        return np.asarray((self._to_scale(accuracies) - self._mean) / self._scale)

    # -- telling ----------------------------------------------------------------------------

    def predict(self, encoded: np.ndarray, covariates: np.ndarray) -> Prediction:
        """Return what is thought of networks, without the noise of one more observation."""
        noise = self._noise()
        mean, deviation = self._process.predict(self._inputs(encoded, covariates), return_std=True)
        deviation = np.sqrt(np.maximum(deviation**2 - noise, 1e-10))
        return Prediction(self._mean + self._scale * mean, self._scale * deviation, self.max_score)

    def _noise(self) -> float:
        return float(self._process.kernel_.k2.noise_level)


class Prediction:
    """Accuracies of networks as far as they are known."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, max_score: float | None) -> None:
        """Take a normal distribution for each network, on the model's scale."""
        self._mean = mean
        self._deviation = deviation
        self._max_score = max_score

    @property
    def median(self) -> np.ndarray:
        """Accuracies, shape (networks,): the posterior mean on the model's scale."""
        return self._mean if self._max_score is None else self._max_score - np.exp(-self._mean)

    def expected_excess(self, levels: np.ndarray) -> np.ndarray:
        """Return E[max(0, accuracy - level)], see `ExpectedExcess`."""
        mean, deviation = self._mean[:, None], self._deviation[:, None]
        if self._max_score is None:
            z = (mean - levels) / deviation
            density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
            return np.asarray(deviation * (z * ndtr(z) + density))
        # The error is lognormal: E[max(0, room - error)] is a put option's price.
        room = np.maximum(self._max_score - levels, 1e-12)
        z = (np.log(room) + mean) / deviation
        expected_error = np.exp(deviation * deviation / 2 - mean)
        return np.asarray(np.maximum(room * ndtr(z) - expected_error * ndtr(z - deviation), 0.0))


class _Process(GaussianProcessRegressor):  # type: ignore[misc]
    """Adds a prior to the likelihood: a dozen observations alone would fix nothing."""

    def log_marginal_likelihood(
        self,
        theta: np.ndarray | None = None,
        eval_gradient: bool = False,
        clone_kernel: bool = True,
    ) -> Any:
        """Return the log of the posterior density of hyperparameters, up to a constant."""
        result = super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        if theta is None:
            return result
        away = (theta - PRIOR_MEAN) / PRIOR_DEVIATION
        penalty = 0.5 * float(away @ away)
        if not eval_gradient:
            return result - penalty
        return result[0] - penalty, result[1] - away / PRIOR_DEVIATION
