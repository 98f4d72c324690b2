import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.gaussian_process.kernels import DotProduct, Matern

from nas.accuracy.prediction.kernel import PRIOR_DEVIATION, PRIOR_MEAN, ColumnsKernel, kernel

FEATURES = 6
THETA = np.log([2.0, 0.7, 1.5, 0.3, 0.1])


def test_the_kernel_is_a_product_over_the_columns_plus_a_linear_term_and_noise():
    inputs = np.random.default_rng(1).standard_normal((5, FEATURES + 2))
    encoding, covariates = inputs[:, :FEATURES], inputs[:, FEATURES:]
    similarity = Matern(0.7, nu=2.5)(encoding) * Matern(1.5, nu=2.5)(covariates)
    expected = 2.0 * similarity + 0.3 * encoding @ encoding.T + 0.1 * np.eye(5)
    assert kernel(FEATURES).clone_with_theta(THETA)(inputs) == pytest.approx(expected)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (2, 2)])
def test_the_gradient_of_the_kernel_is_its_slope(i, j):
    inputs = np.random.default_rng(2).standard_normal((4, FEATURES + 2))

    def entry(theta):
        return kernel(FEATURES).clone_with_theta(theta)(inputs)[i, j]

    _, gradient = kernel(FEATURES).clone_with_theta(THETA)(inputs, eval_gradient=True)
    assert gradient[i, j] == pytest.approx(approx_fprime(THETA, entry, 1e-7), abs=1e-5)


def test_kernels_on_other_columns_are_not_equal():
    linear = DotProduct(0.0, "fixed")
    assert ColumnsKernel(linear, slice(0, 2)) == ColumnsKernel(linear, slice(0, 2))
    assert ColumnsKernel(linear, slice(0, 2)) != ColumnsKernel(linear, slice(0, 3))
    assert ColumnsKernel(linear, slice(0, 2)) != linear


def test_the_prior_matches_the_hyperparameters_of_the_kernel():
    composed = kernel(FEATURES)
    names = [h.name for h in composed.hyperparameters if not h.fixed]
    assert len(names) == len(PRIOR_MEAN) == len(PRIOR_DEVIATION)
    assert ["noise" in name for name in names] == [False] * 4 + [True]
    assert [("length_scale" in name) for name in names] == [False, True, True, False, False]
    assert [np.exp(composed.theta[i]) for i in (1, 2, 4)] == pytest.approx(
        np.exp(PRIOR_MEAN)[[1, 2, 4]]
    )


def test_a_kernel_is_cloned_with_its_parts():
    composed = kernel(FEATURES)
    theta = np.linspace(-1, 1, len(composed.theta))
    changed = composed.clone_with_theta(theta)
    assert changed.theta == pytest.approx(theta)
    assert composed.theta != pytest.approx(theta)
    assert clone(changed) == changed
    assert changed != composed
    columns = composed.k1.k1.k2.k1
    assert columns == clone(columns)
    assert columns != composed.k1.k1.k2.k2
    assert columns.get_params()["kernel__length_scale"] == 1.0
    assert clone(columns).set_params(kernel__length_scale=3.0).kernel.length_scale == 3.0
    assert columns.bounds.shape == (1, 2)
    assert not composed.is_stationary()
    assert columns.is_stationary()
    assert "0:6" in repr(columns)


def test_a_kernel_sees_only_its_columns():
    rng = np.random.default_rng(0)
    encoded, covariates = rng.integers(0, 3, (12, FEATURES)) / 2, rng.standard_normal((12, 2))
    inputs = np.concatenate([encoded, covariates], axis=1)
    composed = kernel(FEATURES)
    values = composed(inputs)
    assert values.shape == (12, 12)
    assert np.linalg.eigvalsh(values).min() > 0
    assert np.diag(values) == pytest.approx(composed.diag(inputs))
    assert composed(inputs, inputs[:3]).shape == (12, 3)
    on_encoding = composed.k1.k1.k2.k1
    changed = np.concatenate([encoded, covariates + 7 * np.arange(12)[:, None]], axis=1)
    assert np.array_equal(on_encoding(inputs), on_encoding(changed))
    assert not np.allclose(values, composed(changed))
