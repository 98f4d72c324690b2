import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from analysis.schema import HITS, RETRAINING_COLUMNS
from analysis.statistics.intervals import paired_interval
from analysis.statistics.retraining import (
    comparison_note,
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


@pytest.mark.slow
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
    (found,) = differences(hits_table([np.ones(9, bool)], [np.zeros(9, bool)]), "trial_3")
    assert (found.value, found.low, found.high, found.paired) == (1, -math.inf, math.inf, False)
    assert rows[0]["test"] == "90.00%"


def test_without_a_front_there_is_nothing_to_compare():
    assert differences(table([], [0.8, 0.8]), "trial_3") == []
    assert differences(table([0.9, 0.9], [0.8, 0.8]), "trial_9") == []
    assert confirmed(pd.DataFrame(columns=RETRAINING_COLUMNS)) == []


# -- image by image -------------------------------------------------------------------------


def hits_table(front, reference):
    """Training runs with the images that each classified correctly, (runs, images)."""
    rows = [
        (name, kind, seed, 0.9, hits.mean(), hits.size, 1.0, hits)
        for name, kind, runs in (
            ("trial_3", "front", front),
            ("mixnet_s", "reference", reference),
        )
        for seed, hits in enumerate(runs)
    ]
    return pd.DataFrame(rows, columns=[*RETRAINING_COLUMNS, HITS])


def runs_on_the_same_images(images=360, lead=0.45, seed=0):
    """Three runs of each of two networks; an image is hard for both or for neither."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(3.4, 2, images)
    draws = ((lead, rng.normal(0, 0.7, images)), (0.0, rng.normal(0, 0.7, images)))
    return [
        [hard + own + better + rng.normal(0, 1, images) > 0 for _ in range(3)]
        for better, own in draws
    ]


def test_networks_are_compared_image_by_image():
    front, reference = runs_on_the_same_images()
    table = hits_table(front, reference)
    (found,) = differences(table, "trial_3")
    low, high = paired_interval(np.stack(front), np.stack(reference))
    assert (found.low, found.high, found.paired) == (low, high, True)
    assert found.value == pytest.approx(np.mean(front) - np.mean(reference))
    assert found.smallest_lead == pytest.approx((high - low) / 2)
    (apart,) = differences(table.drop(columns=HITS), "trial_3")
    assert not apart.paired
    assert apart.smallest_lead > 1.5 * found.smallest_lead
    assert apart.value == found.value
    assert "image by image" in comparison_note(table, "trial_3")
    assert "treated as independent" in comparison_note(table.drop(columns=HITS), "trial_3")


def test_pairing_finds_leads_that_independent_images_hide():
    seen = {True: 0, False: 0}
    for seed in range(60):
        table = hits_table(*runs_on_the_same_images(seed=seed))
        for paired in seen:
            rows = table if paired else table.drop(columns=HITS)
            seen[paired] += differences(rows, "trial_3")[0].verdict == "better"
    assert seen[True] >= 24
    assert seen[False] <= 6


def test_hits_of_some_runs_or_of_other_images_pair_nothing():
    front, reference = runs_on_the_same_images()
    table = hits_table(front, reference)
    lacking = table.copy()
    lacking[HITS] = [None, *table[HITS].tolist()[1:]]
    assert not differences(lacking, "trial_3")[0].paired
    shorter = hits_table(front, [hits[:300] for hits in reference])
    assert not differences(shorter, "trial_3")[0].paired


def test_the_smallest_lead_is_shown_beside_every_difference():
    front, reference = runs_on_the_same_images()
    first, second = confirmed_rows(hits_table(front, reference), "trial_3")
    (found,) = differences(hits_table(front, reference), "trial_3")
    assert (first["smallest_lead"], first["difference"]) == ("", "")
    assert second["smallest_lead"] == f"{100 * found.smallest_lead:.2f}"
    assert second["difference"].startswith(f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to ")
    assert list(second) == [
        "name", "kind", "validation", "test", "difference", "smallest_lead", "verdict",
    ]  # fmt: skip


# -- fixed numbers --------------------------------------------------------------------------


def test_independent_images_add_their_binomial_noise():
    (found,) = differences(table([0.9, 0.92, 0.94], [0.8, 0.82, 0.84], images=400), "trial_3")
    # Welch: 4 degrees of freedom, t = 2.7764, standard error 0.02 * sqrt(2 / 3).
    welch = 2.776445 * 0.02 * math.sqrt(2 / 3)
    images = 1.959964 * math.sqrt(0.92 * 0.08 / 400 + 0.82 * 0.18 / 400)
    assert found.value == pytest.approx(0.1)
    assert found.smallest_lead == pytest.approx(math.hypot(welch, images), rel=1e-5)
    assert (found.low + found.high) / 2 == pytest.approx(0.1)
    assert found.verdict == "better"


@pytest.mark.parametrize(
    ("front", "reference", "verdict"),
    [
        ([0.9, 0.9], [0.8, 0.8], "better"),
        ([0.8, 0.8], [0.9, 0.9], "worse"),
        ([0.8, 0.8], [0.8, 0.8], "no significant difference"),
        ([0.8], [0.9, 0.9], "significance unknown after one training run"),
        ([0.8, 0.8], [0.9], "significance unknown after one training run"),
        ([math.nan] * 2, [0.9, 0.9], "not known: a network has no test accuracy"),
        ([0.8, 0.8], [math.nan] * 2, "not known: a network has no test accuracy"),
        ([0.8, math.nan], [0.9, 0.9], "significance unknown after one training run"),
    ],
)
def test_verdicts(front, reference, verdict):
    rows = table(front, reference)
    (found,) = differences(rows, "trial_3")
    assert found.verdict == verdict
    assert not found.paired  # nothing is known of single images
    assert [row["verdict"] for row in confirmed_rows(rows, "trial_3") if row["verdict"]] == [
        verdict
    ]


def test_what_is_not_known_is_a_dash_and_comes_last():
    rows = table([math.nan, math.nan], [0.9, 0.8])
    first, second = confirmed_rows(rows, "trial_3")
    assert (first["name"], first["test"]) == ("mixnet_s", "85.00% ± 7.07")
    assert (second["name"], second["validation"], second["test"]) == ("trial_3", "-", "-")
    assert (first["difference"], first["smallest_lead"]) == ("-", "-")
    assert comparison_note(rows, "trial_3") == ""


def test_networks_are_sorted_by_validation_and_the_best_is_marked():
    rows = confirmed_rows(table([0.8, 0.9], [0.7, 0.9]), "trial_3")
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("trial_3", "best"), ("mixnet_s", "reference"),
    ]  # fmt: skip
    assert rows[0]["validation"] == "84.00% ± 7.07"
    assert rows[1]["difference"].startswith("+5.00 (")
    other = confirmed_rows(table([0.8, 0.9], [0.7, 0.9]), "trial_4")
    assert [row["kind"] for row in other] == ["front", "reference"]
    assert [row["difference"] for row in other] == ["", ""]
