import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from analysis.schema import RETRAINING_COLUMNS
from analysis.statistics.retraining import (
    confirmed,
    confirmed_rows,
    differences,
)


def table(front, reference, images=10_000):
    rows = [("trial_3", "front", seed, v - 0.01, v, images, 1.0) for seed, v in enumerate(front)]
    rows += [("mixnet_s", "reference", s, v, v, images, 1.0) for s, v in enumerate(reference)]
    return pd.DataFrame(rows, columns=RETRAINING_COLUMNS)


def test_means_and_deviations_are_over_seeds():
    first, second = confirmed(table([0.90, 0.92, 0.94], [0.8, 0.8, 0.8]))
    assert (first.name, first.n, first.test) == ("trial_3", 3, pytest.approx(0.92))
    assert first.test_std == pytest.approx(0.02)
    assert first.validation == pytest.approx(0.91)
    assert second.test_std == pytest.approx(0, abs=1e-12)


def test_without_image_noise_the_interval_is_welchs():
    front, reference = [0.90, 0.92, 0.95], [0.85, 0.88, 0.86]
    (found,) = differences(table(front, reference, images=10**12), "trial_3")
    expected = ttest_ind(front, reference, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(front) - np.mean(reference))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert found.verdict == "better"


def test_few_test_images_make_a_difference_doubtful():
    front, reference = [0.90, 0.901, 0.902], [0.88, 0.881, 0.882]
    many, few = (differences(table(front, reference, n), "trial_3")[0] for n in (100_000, 300))
    assert many.verdict == "better"
    assert few.verdict == "no significant difference"
    assert many.value == few.value


def test_the_interval_covers_as_often_as_it_says():
    """Networks of known accuracy, noise of training and of test images: few intervals miss."""
    rng = np.random.default_rng(0)
    missed, runs = 0, 400
    for _ in range(runs):
        shares = []
        for truth in (0.9, 0.88):
            # One draw of images for all trainings of a network, as it is the same test split.
            shift = rng.normal(0, math.sqrt(truth * (1 - truth) / 1000))
            shares.append(truth + shift + rng.normal(0, 0.004, 3))
        found = differences(table(*shares, images=1000), "trial_3")[0]
        missed += not found.low <= 0.02 <= found.high
    assert missed / runs < 0.08


def test_one_training_shows_no_noise():
    rows = confirmed_rows(table([0.9], [0.8]), "trial_3")
    assert [row["verdict"] for row in rows] == ["", "significance unknown after one training run"]
    assert rows[1]["difference"] == "+10.00"
    assert rows[0]["test"] == "90.00"


def test_without_a_front_there_is_nothing_to_compare():
    assert differences(table([], [0.8, 0.8]), "trial_3") == []
    assert differences(table([0.9, 0.9], [0.8, 0.8]), "trial_9") == []
    assert confirmed(pd.DataFrame(columns=RETRAINING_COLUMNS)) == []
