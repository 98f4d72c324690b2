import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.statistics.bootstrap import difference_bootstrap, edf_interval, mean_bootstrap
from analysis.statistics.distributions import edf


def test_the_interval_of_an_edf_is_that_of_resamples():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=40)
    curve = edf(errors)
    drawn = np.sort(rng.choice(errors, (20_000, 40)), axis=1)
    shares = np.array([np.searchsorted(each, curve.errors, side="right") for each in drawn]) / 40
    low, high = edf_interval(curve)
    expected = np.quantile(shares, [0.025, 0.975], axis=0, method="inverted_cdf")
    # Where the distribution's tail is close to 2.5%, resamples miss the exact quantile by one.
    np.testing.assert_allclose([low, high], expected, atol=1.01 / 40)
    assert (np.abs([low, high] - expected) < 1e-9).mean() > 0.8


def test_the_interval_of_an_edf_is_within_the_band_and_holds_the_curve():
    curve = edf(np.random.default_rng(1).normal(size=100))
    low, high = edf_interval(curve)
    assert (curve.low <= low).all()
    assert (low <= curve.shares).all()
    assert (curve.shares <= high).all()
    assert (high <= curve.high).all()


def test_weighted_networks_have_no_such_interval():
    with pytest.raises(AnalysisError, match="equally weighted"):
        edf_interval(edf([0.1, 0.2], [1, 3]))


def test_intervals_of_means_are_those_of_large_samples():
    rng = np.random.default_rng(2)
    one, other = rng.normal(3, 2, 400), rng.normal(1, 1, 100)
    low, high = mean_bootstrap([*one, np.nan])
    reach = 1.96 * one.std() / 20
    assert (low, high) == pytest.approx((one.mean() - reach, one.mean() + reach), abs=0.02)
    low, high = difference_bootstrap(one, other)
    reach = 1.96 * np.hypot(one.std() / 20, other.std() / 10)
    middle = one.mean() - other.mean()
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=0.03)


def test_intervals_are_the_same_every_time_and_need_two_values():
    assert mean_bootstrap([1, 2, 4]) == mean_bootstrap([1, 2, 4])
    for values in ([], [1.0], [1.0, np.inf]):
        with pytest.raises(AnalysisError, match="two or more finite values"):
            mean_bootstrap(values)
        with pytest.raises(AnalysisError, match="two or more finite values"):
            difference_bootstrap([1, 2], values)
