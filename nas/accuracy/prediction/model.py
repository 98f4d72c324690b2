"""A Gaussian process model of accuracy, on the encoding of a network and its covariates.

As networks grow, errors shrink by factors rather than by fixed amounts. The logarithm of the error
is therefore modeled: on that scale, the same change to a network counts the same at 70% and at 95%.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

from nas.accuracy.prediction.kernel import PRIOR_DEVIATION, PRIOR_MEAN, kernel

SMALLEST_ERROR = 1e-3  # fraction of the maximum score; finite validation sets resolve no less
FIT_MOST = 256  # observations that hyperparameters are fitted to, at most
KEEP_MOST = 1000  # observations that a prediction uses, at most; bounds the time of a proposal
_JITTER = 1e-6  # added to the diagonal of the kernel matrix


class AccuracyModel:
    """Accuracy as a Gaussian process.

    The kernel is a Matern 5/2 kernel of the encoding times a Matern 5/2 kernel of the covariates
    (networks are similar if both their choices and their costs are), plus a linear term in the
    encoding (each choice has an effect of its own), plus noise.
    """

    def __init__(self, max_score: float | None = 1.0) -> None:
        """Choose the scale of the model.

        Args:
            max_score: Accuracy that no network can exceed (1, or 100 for percent); None for
                scores without an upper bound, which are modeled without a transformation.
        """
        self.max_score = max_score
        self._theta: np.ndarray | None = None

    # -- scales -----------------------------------------------------------------------------

    def _to_scale(self, accuracies: np.ndarray) -> np.ndarray:
        if self.max_score is None:
            return accuracies
        error = np.maximum(self.max_score - accuracies, SMALLEST_ERROR * self.max_score)
        return np.asarray(-np.log(error))

    # -- learning ---------------------------------------------------------------------------

    def tune(self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray) -> None:
        """Fit the hyperparameters to observations, by maximum a posteriori.

        Of more than `FIT_MOST` observations, every n-th one is used. `condition` takes the
        same arguments.
        """
        step = -(-len(accuracies) // FIT_MOST)
        encoded, covariates, accuracies = encoded[::step], covariates[::step], accuracies[::step]
        self._set_scales(encoded, covariates, accuracies)
        process = _Process(kernel(encoded.shape[1]), alpha=_JITTER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(self._inputs(encoded, covariates), self._targets(accuracies))
        self._theta = process.kernel_.theta

    def condition(
        self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray
    ) -> None:
        """Condition the process on observations, with the hyperparameters of the last `tune`.

        Args:
            encoded: Encodings of the networks, shape (n, features).
            covariates: Covariates of the networks, shape (n, covariates).
            accuracies: Accuracies of the networks, shape (n,).
        """
        self._set_scales(encoded, covariates, accuracies)
        covariance = kernel(encoded.shape[1])
        if self._theta is not None:
            covariance = covariance.clone_with_theta(self._theta)
        self._process = GaussianProcessRegressor(covariance, alpha=_JITTER, optimizer=None)
        self._process.fit(self._inputs(encoded, covariates), self._targets(accuracies))

    def _set_scales(
        self, encoded: np.ndarray, covariates: np.ndarray, accuracies: np.ndarray
    ) -> None:
        self._encoded_mean = encoded.mean(0)
        self._encoded_radius = np.sqrt(encoded.var(0).sum()) + 1e-9
        self._covariates_mean = covariates.mean(0)
        self._covariates_scale = covariates.std(0) + 1e-9
        values = self._to_scale(accuracies)
        self._mean, self._scale = values.mean(), values.std() + 1e-9

    def _inputs(self, encoded: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        scaled_encoding = (encoded - self._encoded_mean) / self._encoded_radius
        scaled_covariates = (covariates - self._covariates_mean) / self._covariates_scale
        return np.concatenate([scaled_encoding, scaled_covariates], axis=1)

    def _targets(self, accuracies: np.ndarray) -> np.ndarray:
        return np.asarray((self._to_scale(accuracies) - self._mean) / self._scale)

    # -- predicting -------------------------------------------------------------------------

    def predict(self, encoded: np.ndarray, covariates: np.ndarray) -> Prediction:
        """Return the posterior of the networks' accuracies, without observation noise.

        Args:
            encoded: Encodings of the networks, shape (networks, features).
            covariates: Covariates of the networks, shape (networks, covariates).
        """
        mean, deviation = self._process.predict(self._inputs(encoded, covariates), return_std=True)
        deviation = np.sqrt(np.maximum(deviation**2 - self._noise_variance(), 1e-10))
        return Prediction(self._mean + self._scale * mean, self._scale * deviation, self.max_score)

    def median(self, encoded: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        """Return `Prediction.median` of the networks, at a small part of the price of `predict`."""
        mean = self._mean + self._scale * self._process.predict(self._inputs(encoded, covariates))
        return Prediction(mean, np.zeros_like(mean), self.max_score).median

    def _noise_variance(self) -> float:
        return float(self._process.kernel_.k2.noise_level)


class Prediction:
    """The posterior distribution of the accuracies of networks."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, max_score: float | None) -> None:
        """Describe a normal distribution on the model's scale for each network.

        Args:
            mean: Posterior means, shape (networks,).
            deviation: Posterior standard deviations, shape (networks,).
            max_score: Maximum score of the model, which defines the scale.
        """
        self._mean = mean
        self._deviation = deviation
        self._max_score = max_score

    @property
    def median(self) -> np.ndarray:
        """Median accuracies, shape (networks,): the posterior means, transformed from the scale."""
        return self._mean if self._max_score is None else self._max_score - np.exp(-self._mean)

    def expected_excess(self, levels: np.ndarray) -> np.ndarray:
        """Return E[max(0, accuracy - level)], shape (networks, levels).

        Args:
            levels: Accuracy levels, shape (networks, levels) or (1, levels).
        """
        mean, deviation = self._mean[:, None], self._deviation[:, None]
        if self._max_score is None:
            z = (mean - levels) / deviation
            density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
            return np.asarray(deviation * (z * ndtr(z) + density))
        # The error is lognormal, so E[max(0, margin - error)] is the Black-Scholes price of a put.
        margin = np.maximum(self._max_score - levels, 1e-12)
        z = (np.log(margin) + mean) / deviation
        expected_error = np.exp(deviation * deviation / 2 - mean)
        return np.asarray(np.maximum(margin * ndtr(z) - expected_error * ndtr(z - deviation), 0.0))


class _Process(GaussianProcessRegressor):  # type: ignore[misc]
    """Adds a prior on the hyperparameters, which a dozen observations do not determine."""

    def log_marginal_likelihood(
        self,
        theta: np.ndarray | None = None,
        eval_gradient: bool = False,
        clone_kernel: bool = True,
    ) -> Any:
        """Return the log posterior density of the hyperparameters, up to a constant."""
        result = super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        if theta is None:
            return result
        standardized = (theta - PRIOR_MEAN) / PRIOR_DEVIATION
        penalty = 0.5 * float(standardized @ standardized)
        if not eval_gradient:
            return result - penalty
        return result[0] - penalty, result[1] - standardized / PRIOR_DEVIATION
