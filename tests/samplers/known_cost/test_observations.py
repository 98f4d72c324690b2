import itertools

import numpy as np

from nas.accuracy.prediction.model import KEEP_MOST
from nas.samplers.known_cost.observations import informative_subset, tuning_milestone


def test_hyperparameters_are_fitted_less_often_as_observations_accumulate():
    milestones = [tuning_milestone(n) for n in range(2, 3000)]
    assert milestones[:31] == list(range(2, 33))
    assert [tuning_milestone(n) for n in (35, 36, 39, 40, 44, 45)] == [32, 36, 36, 40, 40, 45]
    assert all(m <= n for n, m in enumerate(milestones, start=2))
    assert all(b / a <= 1.126 for a, b in itertools.pairwise(sorted(set(milestones))) if a >= 32)
    assert len(set(milestones)) < 80


def test_the_subset_holds_the_front_and_has_no_duplicates():
    rng = np.random.default_rng(0)
    accuracies, costs = rng.uniform(0, 1, 3000), rng.uniform(0, 1, (3000, 1))
    subset = informative_subset(accuracies, costs)
    assert len(np.unique(subset)) == len(subset) == KEEP_MOST
    assert (np.diff(subset) > 0).all()
    order = np.argsort(costs[:, 0])
    front = order[accuracies[order] == np.maximum.accumulate(accuracies[order])]
    assert set(front) <= set(subset)


def test_half_of_the_subset_is_nearest_to_the_front_and_half_is_spread():
    # A flat front: the shortfall of each network is its index.
    n = 4 * KEEP_MOST
    accuracies, costs = 1 - np.arange(n) / n, np.arange(n, dtype=float)[:, None]
    subset = informative_subset(accuracies, costs)
    half = KEEP_MOST // 2
    assert subset[:half].tolist() == list(range(half))
    assert subset[half] == half
    assert subset[-1] == n - 1
    gaps = np.diff(subset[half:])
    assert gaps.max() - gaps.min() <= 1


def test_exactly_as_many_as_are_kept_are_all_kept():
    rng = np.random.default_rng(0)
    subset = informative_subset(rng.uniform(0, 1, KEEP_MOST), rng.uniform(0, 1, (KEEP_MOST, 2)))
    assert subset.tolist() == list(range(KEEP_MOST))
