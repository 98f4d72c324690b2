"""Intervals of means against the formulas of Student and Welch."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.statistics.intervals import LEVEL, difference_interval, mean_interval


def test_the_interval_of_a_mean_is_students():
    # Quantile 0.975 of t with 3 degrees of freedom; values 1, 2, 3, 6 have variance 14 / 3.
    reach = 3.182446 * math.sqrt(14 / 3 / 4)
    assert mean_interval(np.array([1.0, 2, 3, 6])) == pytest.approx((3 - reach, 3 + reach))


def test_the_interval_of_a_difference_is_welchs():
    one, other = np.array([0.90, 0.92, 0.95]), np.array([0.85, 0.88, 0.86, 0.80])
    parts = [values.var(ddof=1) / len(values) for values in (one, other)]
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3)
    reach = student.ppf((1 + LEVEL) / 2, degrees) * math.sqrt(sum(parts))
    value = one.mean() - other.mean()
    assert difference_interval(one, other) == pytest.approx((value - reach, value + reach))
    low, high = difference_interval(other, one)
    assert (low, high) == pytest.approx((-value - reach, -value + reach))


def test_one_value_has_no_interval():
    assert np.isnan(mean_interval(np.array([1.0]))).all()
    assert np.isnan(mean_interval(np.array([]))).all()
    assert np.isnan(difference_interval(np.array([1.0]), np.array([1.0, 2.0]))).all()
    assert np.isnan(difference_interval(np.array([1.0, 2.0]), np.array([]))).all()


@pytest.mark.filterwarnings("error")
def test_values_without_noise_leave_no_doubt():
    assert mean_interval(np.full(3, 0.3)) == pytest.approx((0.3, 0.3))
    assert difference_interval(np.full(3, 0.75), np.full(2, 0.5)) == (0.25, 0.25)
    # Noise on one side alone: with one degree of freedom, t is 12.706.
    low, high = difference_interval(np.full(3, 0.75), np.array([0.4, 0.6]))
    assert (high - low) / 2 == pytest.approx(12.7062 * 0.1, rel=1e-5)
