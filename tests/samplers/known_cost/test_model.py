import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.base import clone

from nas.samplers.known_cost.kernel import PRIOR_DEVIATION, PRIOR_MEAN, kernel
from nas.samplers.known_cost.model import FIT_MOST, AccuracyModel, Prediction, _Process

FEATURES, HINTS = 6, 2


def problem(n, seed=0, noise=0.002):
    """Networks of six features and two hints, with an accuracy that saturates."""
    rng = np.random.default_rng(seed)
    encoded = rng.integers(0, 3, (n, FEATURES)) / 2
    covariates = np.stack([encoded.sum(1), encoded[:, 0] * encoded[:, 1]], axis=1)
    quality = encoded[:, 0] - encoded[:, 1] + 0.5 * encoded[:, 2] * encoded[:, 3]
    return encoded, covariates, 0.95 - 0.3 * np.exp(-quality) + noise * rng.standard_normal(n)


def learned(n, max_score=1.0, factor=1.0):
    model = AccuracyModel(max_score)
    encoded, covariates, accuracies = problem(n)
    model.tune(encoded, covariates, factor * accuracies)
    model.condition(encoded, covariates, factor * accuracies)
    return model


@pytest.mark.parametrize("max_score", [1.0, 100.0, None])
def test_predictions_improve_with_data(max_score):
    factor = max_score or 1.0
    encoded, covariates, truth = problem(200, seed=1, noise=0)
    errors = []
    for n in (8, 24, 100):
        found = learned(n, max_score, factor).predict(encoded, covariates).median / factor
        errors.append(float(np.sqrt(np.mean((found - truth) ** 2))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * truth.std()


def test_uncertainty_shrinks_where_there_is_data():
    encoded, covariates, _ = problem(30)
    known = learned(30).predict(encoded, covariates)
    unknown = learned(30).predict(3 - encoded, covariates + 5)
    assert known._deviation.mean() < unknown._deviation.mean()


def test_percent_are_modelled_as_fractions_are():
    encoded, covariates, _ = problem(50, seed=2)
    fractions = learned(40).predict(encoded, covariates)
    percent = learned(40, 100.0, 100.0).predict(encoded, covariates)
    assert percent.median == pytest.approx(100 * fractions.median, rel=1e-4)
    levels = np.array([[0.7, 0.8]])
    assert percent.expected_excess(100 * levels) == pytest.approx(
        100 * fractions.expected_excess(levels), rel=1e-2
    )


@pytest.mark.parametrize("max_score", [1.0, 100.0])
def test_predictions_stay_below_the_ceiling(max_score):
    model = AccuracyModel(max_score)
    encoded, covariates, _ = problem(20)
    model.condition(encoded, covariates, np.full(20, 1.2 * max_score))
    found = model.predict(encoded, covariates).median
    assert (found < max_score).all()
    assert (found > 0.99 * max_score).all()


@pytest.mark.parametrize("max_score", [1.0, 100.0, None])
def test_the_excess_is_the_mean_over_accuracies(max_score):
    rng = np.random.default_rng(0)
    scale = max_score or 1.0
    shift = np.log(scale)
    mean = np.array([0.5, 1.2, 2.5]) - (shift if max_score else 0)
    deviation = np.array([0.6, 0.2, 0.9])
    levels = scale * np.array([[0.2, 0.6, 0.9, 0.99, 1.5]])
    found = Prediction(mean, deviation, max_score).expected_excess(levels)
    drawn = mean[:, None] + deviation[:, None] * rng.standard_normal((3, 200_000))
    accuracies = drawn if max_score is None else max_score - np.exp(-drawn)
    for i in range(3):
        for j, level in enumerate(levels[0]):
            gains = np.maximum(accuracies[i] - level, 0)
            error = gains.std() / len(gains) ** 0.5
            assert found[i, j] == pytest.approx(gains.mean(), abs=4 * error + 1e-6 * scale)


@pytest.mark.parametrize("max_score", [1.0, None])
def test_the_excess_falls_as_the_level_rises_and_is_never_negative(max_score):
    levels = np.linspace(-1, 2, 50)[None, :]
    found = Prediction(np.array([0.1, 3.0]), np.array([1e-5, 1.0]), max_score).expected_excess(
        levels
    )
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found, axis=1) <= 1e-12).all()


def test_constant_accuracies_are_learned():
    encoded, covariates, _ = problem(20)
    model = AccuracyModel()
    model.tune(encoded, covariates, np.full(20, 0.7))
    model.condition(encoded, covariates, np.full(20, 0.7))
    assert model.predict(encoded, covariates).median == pytest.approx(0.7)


def test_networks_all_alike_are_learned():
    model = AccuracyModel()
    encoded, covariates = np.ones((5, FEATURES)), np.ones((5, HINTS))
    accuracies = np.array([0.6, 0.62, 0.61, 0.6, 0.62])
    model.tune(encoded, covariates, accuracies)
    model.condition(encoded, covariates, accuracies)
    assert model.predict(encoded, covariates).median == pytest.approx(0.61, abs=0.01)


def test_of_many_observations_some_are_fitted_to():
    encoded, covariates, accuracies = problem(3 * FIT_MOST)
    model = AccuracyModel()
    model.tune(encoded, covariates, accuracies)
    thinned = AccuracyModel()
    thinned.tune(encoded[::3], covariates[::3], accuracies[::3])
    assert np.array_equal(model._theta, thinned._theta)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_posterior_is_its_slope(seed):
    encoded, covariates, accuracies = problem(25)
    inputs = np.concatenate([encoded - encoded.mean(0), covariates - covariates.mean(0)], axis=1)
    process = _Process(kernel(FEATURES), alpha=1e-6, optimizer=None)
    process.fit(inputs, accuracies - accuracies.mean())
    rng = np.random.default_rng(seed)
    theta = PRIOR_MEAN + 0.5 * PRIOR_DEVIATION * rng.standard_normal(len(PRIOR_MEAN))
    value, gradient = process.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(process.log_marginal_likelihood(theta))
    slopes = approx_fprime(theta, process.log_marginal_likelihood, 1e-6)
    assert gradient == pytest.approx(slopes, rel=1e-3, abs=1e-3)


def test_the_prior_draws_hyperparameters_to_its_mean():
    encoded, covariates, _ = problem(3)
    process = _Process(kernel(FEATURES), alpha=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(np.concatenate([encoded, covariates], axis=1), np.zeros(3))
    away = np.abs(process.kernel_.theta - PRIOR_MEAN) / PRIOR_DEVIATION
    assert (away < 2).all()


def test_the_prior_is_of_the_kernels_hyperparameters():
    made = kernel(FEATURES)
    names = [h.name for h in made.hyperparameters if not h.fixed]
    assert len(names) == len(PRIOR_MEAN) == len(PRIOR_DEVIATION)
    assert ["noise" in name for name in names] == [False] * 4 + [True]
    assert [("length_scale" in name) for name in names] == [False, True, True, False, False]
    assert [np.exp(made.theta[i]) for i in (1, 2, 4)] == pytest.approx(
        np.exp(PRIOR_MEAN)[[1, 2, 4]]
    )


def test_a_kernel_is_copied_whole():
    made = kernel(FEATURES)
    theta = np.linspace(-1, 1, len(made.theta))
    changed = made.clone_with_theta(theta)
    assert changed.theta == pytest.approx(theta)
    assert made.theta != pytest.approx(theta)
    assert clone(changed) == changed
    assert changed != made
    columns = made.k1.k1.k2.k1
    assert columns == clone(columns)
    assert columns != made.k1.k1.k2.k2
    assert columns.get_params()["kernel__length_scale"] == 1.0
    assert clone(columns).set_params(kernel__length_scale=3.0).kernel.length_scale == 3.0
    assert columns.bounds.shape == (1, 2)
    assert not made.is_stationary()
    assert columns.is_stationary()
    assert "0:6" in repr(columns)


def test_a_kernel_looks_at_its_columns_alone():
    encoded, covariates, _ = problem(12)
    inputs = np.concatenate([encoded, covariates], axis=1)
    made = kernel(FEATURES)
    values = made(inputs)
    assert values.shape == (12, 12)
    assert np.linalg.eigvalsh(values).min() > 0
    assert np.diag(values) == pytest.approx(made.diag(inputs))
    assert made(inputs, inputs[:3]).shape == (12, 3)
    on_encoding = made.k1.k1.k2.k1
    changed = np.concatenate([encoded, covariates + 7 * np.arange(12)[:, None]], axis=1)
    assert np.array_equal(on_encoding(inputs), on_encoding(changed))
    assert not np.allclose(values, made(changed))
