import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from nas.accuracy.prediction.kernel import PRIOR_DEVIATION, PRIOR_MEAN, kernel
from nas.accuracy.prediction.model import FIT_MOST, AccuracyModel, Prediction, _Process

FEATURES, COVARIATES = 6, 2


def problem(n, seed=0, noise=0.002):
    """Networks of six features and two covariates, with an accuracy that saturates."""
    rng = np.random.default_rng(seed)
    encoded = rng.integers(0, 3, (n, FEATURES)) / 2
    covariates = np.stack([encoded.sum(1), encoded[:, 0] * encoded[:, 1]], axis=1)
    quality = encoded[:, 0] - encoded[:, 1] + 0.5 * encoded[:, 2] * encoded[:, 3]
    return encoded, covariates, 0.95 - 0.3 * np.exp(-quality) + noise * rng.standard_normal(n)


def fitted(n, max_score=1.0, factor=1.0):
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
        predicted = fitted(n, max_score, factor).predict(encoded, covariates).median / factor
        errors.append(float(np.sqrt(np.mean((predicted - truth) ** 2))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * truth.std()


@pytest.mark.parametrize("max_score", [1.0, None])
def test_medians_alone_are_those_of_predictions(max_score):
    encoded, covariates, _ = problem(20, seed=3)
    model = fitted(30, max_score)
    expected = model.predict(encoded, covariates).median
    assert model.median(encoded, covariates) == pytest.approx(expected, rel=1e-9)


def test_uncertainty_shrinks_where_there_is_data():
    encoded, covariates, _ = problem(30)
    known = fitted(30).predict(encoded, covariates)
    unknown = fitted(30).predict(3 - encoded, covariates + 5)
    assert known._deviation.mean() < unknown._deviation.mean()


def test_percentages_are_modeled_like_fractions():
    encoded, covariates, _ = problem(50, seed=2)
    fractions = fitted(40).predict(encoded, covariates)
    percent = fitted(40, 100.0, 100.0).predict(encoded, covariates)
    assert percent.median == pytest.approx(100 * fractions.median, rel=1e-4)
    levels = np.array([[0.7, 0.8]])
    assert percent.expected_excess(100 * levels) == pytest.approx(
        100 * fractions.expected_excess(levels), rel=1e-2
    )


@pytest.mark.parametrize("max_score", [1.0, 100.0])
def test_predictions_stay_below_the_maximum_score(max_score):
    model = AccuracyModel(max_score)
    encoded, covariates, _ = problem(20)
    model.condition(encoded, covariates, np.full(20, 1.2 * max_score))
    predicted = model.predict(encoded, covariates).median
    assert (predicted < max_score).all()
    assert (predicted > 0.99 * max_score).all()


@pytest.mark.parametrize("max_score", [1.0, 100.0, None])
def test_the_expected_excess_is_the_mean_over_accuracies(max_score):
    rng = np.random.default_rng(0)
    scale = max_score or 1.0
    shift = np.log(scale)
    mean = np.array([0.5, 1.2, 2.5]) - (shift if max_score else 0)
    deviation = np.array([0.6, 0.2, 0.9])
    levels = scale * np.array([[0.2, 0.6, 0.9, 0.99, 1.5]])
    excess = Prediction(mean, deviation, max_score).expected_excess(levels)
    drawn = mean[:, None] + deviation[:, None] * rng.standard_normal((3, 200_000))
    accuracies = drawn if max_score is None else max_score - np.exp(-drawn)
    for i in range(3):
        for j, level in enumerate(levels[0]):
            gains = np.maximum(accuracies[i] - level, 0)
            error = gains.std() / len(gains) ** 0.5
            assert excess[i, j] == pytest.approx(gains.mean(), abs=4 * error + 1e-6 * scale)


@pytest.mark.parametrize("max_score", [1.0, None])
def test_the_expected_excess_falls_as_the_level_rises_and_is_never_negative(max_score):
    levels = np.linspace(-1, 2, 50)[None, :]
    prediction = Prediction(np.array([0.1, 3.0]), np.array([1e-5, 1.0]), max_score)
    excess = prediction.expected_excess(levels)
    assert np.isfinite(excess).all()
    assert (excess >= 0).all()
    assert (np.diff(excess, axis=1) <= 1e-12).all()


def test_constant_accuracies_are_modeled():
    encoded, covariates, _ = problem(20)
    model = AccuracyModel()
    model.tune(encoded, covariates, np.full(20, 0.7))
    model.condition(encoded, covariates, np.full(20, 0.7))
    assert model.predict(encoded, covariates).median == pytest.approx(0.7)


def test_identical_networks_are_modeled():
    model = AccuracyModel()
    encoded, covariates = np.ones((5, FEATURES)), np.ones((5, COVARIATES))
    accuracies = np.array([0.6, 0.62, 0.61, 0.6, 0.62])
    model.tune(encoded, covariates, accuracies)
    model.condition(encoded, covariates, accuracies)
    assert model.predict(encoded, covariates).median == pytest.approx(0.61, abs=0.01)


def test_hyperparameters_are_fitted_to_a_part_of_many_observations():
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


def test_the_prior_pulls_hyperparameters_to_its_mean():
    encoded, covariates, _ = problem(3)
    process = _Process(kernel(FEATURES), alpha=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(np.concatenate([encoded, covariates], axis=1), np.zeros(3))
    away = np.abs(process.kernel_.theta - PRIOR_MEAN) / PRIOR_DEVIATION
    assert (away < 2).all()


def test_medians_are_transformed_from_the_scale_of_bounded_scores():
    means = np.array([0.5, 2.0])
    unbounded = Prediction(means, np.array([0.1, 0.1]), None)
    assert unbounded.median.tolist() == [0.5, 2.0]
    bounded = Prediction(means, np.array([0.1, 0.1]), 100.0)
    assert bounded.median == pytest.approx([100 - 0.60653066, 100 - 0.13533528])
