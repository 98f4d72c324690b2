"""Intervals of means against the formulas of Student and Welch."""

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_rel

from analysis.statistics.intervals import (
    LEVEL,
    difference_interval,
    mean_interval,
    paired_interval,
)


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


def test_two_values_have_one_degree_of_freedom():
    assert mean_interval(np.array([1.0, 3])) == pytest.approx((2 - 12.7062, 2 + 12.7062), rel=1e-4)


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


# -- on the same images ---------------------------------------------------------------------

ONE = np.array([[1, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1]], dtype=bool)
OTHER = np.array([[1, 0, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0]], dtype=bool)


def mean_squares(hits):
    """Mean squares of runs and of the residual in a table of runs and images without repetition."""
    runs, images = hits.shape
    total = hits.astype(float)
    grand = total.sum() / total.size
    of_runs = sum(images * (row.mean() - grand) ** 2 for row in total) / (runs - 1)
    rest = 0.0
    for run in range(runs):
        for image in range(images):
            fitted = total[run].mean() + total[:, image].mean() - grand
            rest += (total[run, image] - fitted) ** 2
    return of_runs, rest / ((runs - 1) * (images - 1))


def test_the_interval_on_the_same_images_is_that_of_the_mean_squares():
    images = 6
    by_image = ONE.mean(axis=0) - OTHER.mean(axis=0)
    parts = [(by_image.var(ddof=1) / images, images - 1)]
    for hits in (ONE, OTHER):
        of_runs, rest = (square / images / len(hits) for square in mean_squares(hits))
        if of_runs > rest:
            parts += [(of_runs, len(hits) - 1), (-rest, (len(hits) - 1) * (images - 1))]
    assert len(parts) == 3  # the runs of the second network differ by less than single images do
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = student.ppf(0.975, freedom) * math.sqrt(variance)
    low, high = paired_interval(ONE, OTHER)
    assert (low + high) / 2 == pytest.approx(14 / 18 - 1 / 2)
    assert (high - low) / 2 == pytest.approx(reach)
    assert (low, high) == pytest.approx((-0.2897, 0.8453), abs=1e-4)
    low, high = paired_interval(OTHER, ONE)
    assert (low, high) == pytest.approx((-0.8453, 0.2897), abs=1e-4)


def test_runs_that_agree_leave_the_paired_t_test_of_images():
    rng = np.random.default_rng(0)
    one, other = rng.random(200) < 0.9, rng.random(200) < 0.8
    found = paired_interval(np.stack([one] * 3), np.stack([other] * 2))
    expected = ttest_rel(one.astype(float), other.astype(float)).confidence_interval(0.95)
    assert found == pytest.approx((expected.low, expected.high))


def test_images_that_all_agree_bound_the_difference_by_their_number():
    """The rule of three: what none of n images shows has a share of at most 3 / n."""
    right = np.ones((3, 50), dtype=bool)
    assert paired_interval(right, right) == (-3 / 50, 3 / 50)
    assert paired_interval(right, ~right) == (1 - 3 / 50, 1 + 3 / 50)


def sampled(rng, images, runs, lead, spread):
    """Hits of two networks on the same images, which are hard for both or for neither."""
    hard = rng.normal(0, 2, images)
    return [
        np.array(
            [
                hard + own + better + 3.4 + rng.normal(0, spread) + rng.normal(0, 1, images) > 0
                for _ in range(runs)
            ]
        )
        for better, own in ((lead, rng.normal(0, 0.7, images)), (0.0, rng.normal(0, 0.7, images)))
    ]


@pytest.mark.parametrize(("spread", "lead"), [(0.0, 0.45), (0.3, 1.2)])
def test_a_lead_of_two_points_is_seen_and_noise_is_not(spread, lead):
    """Three runs of 92.7%, with and without noise of training; 360 images as in digits."""
    rng = np.random.default_rng(1)
    seen = sum(paired_interval(*sampled(rng, 360, 3, lead, spread))[0] > 0 for _ in range(200))
    false = sum(
        not low <= 0 <= high
        for low, high in (paired_interval(*sampled(rng, 360, 3, 0, spread)) for _ in range(200))
    )
    assert seen > 90
    assert false <= 14  # 10 expected
