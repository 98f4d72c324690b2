import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.accuracy.prediction.model import Prediction
from nas.samplers.known_cost.improvement import (
    MAX_COSTS,
    HypervolumeImprovement,
    RewardImprovement,
    reference_accuracy,
)


def volume(accuracies, costs, reference, ends):
    """Return the hypervolume that networks dominate, computed independently."""
    points = np.column_stack([-np.asarray(accuracies, float), costs])
    return moocore.hypervolume(points, ref=[-reference, *ends])


def certain(accuracies):
    return lambda levels: np.maximum(np.asarray(accuracies)[:, None] - levels, 0.0)


@st.composite
def problems(draw):
    """Draw networks on a coarse grid, with ties and duplicates, some beyond the reference point."""
    k = draw(st.integers(1, MAX_COSTS))
    rows = st.lists(st.integers(0, 6), min_size=k + 1, max_size=k + 1)
    observed = np.array(draw(st.lists(rows, min_size=1, max_size=8))) / 5
    fresh = np.array(draw(st.lists(rows, min_size=1, max_size=5))) / 5
    ends = np.array(draw(st.lists(st.sampled_from([0.6, 1.0, 1.3]), min_size=k, max_size=k)))
    return observed, fresh, draw(st.sampled_from([0.0, 0.3, 1.0])), ends


@given(problems())
def test_a_certain_network_adds_the_volume_that_it_adds(problem):
    observed, fresh, reference, ends = problem
    improvement = HypervolumeImprovement(observed[:, 0], observed[:, 1:], reference, ends)
    expected = improvement.expected(fresh[:, 1:], certain(fresh[:, 0]))
    before = volume(observed[:, 0], observed[:, 1:], reference, ends)
    for one, gain in zip(fresh, expected, strict=True):
        both = np.vstack([observed, one])
        after = volume(both[:, 0], both[:, 1:], reference, ends)
        assert gain == pytest.approx(after - before, abs=1e-9)


@pytest.mark.parametrize("reference", [0, 0.0])
def test_a_reference_accuracy_of_zero_is_valid(reference):
    improvement = HypervolumeImprovement(
        np.array([0.5]), np.array([[0.5]]), reference, np.array([1.0])
    )
    gain = improvement.expected(np.array([[0.25]]), certain([0.75]))
    assert gain == pytest.approx([0.75**2 - 0.5**2])


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("max_score", [1.0, None])
def test_the_expectation_is_the_mean_over_accuracies(k, max_score):
    rng = np.random.default_rng(k)
    observed, costs = rng.uniform(0.5, 0.9, 12), rng.uniform(0, 1, (12, k))
    ends, fresh = np.full(k, 1.1), rng.uniform(0, 0.6, (3, k))
    mean, deviation = np.array([0.9, 1.4, 2.0]), np.array([0.3, 0.5, 0.2])
    improvement = HypervolumeImprovement(observed, costs, 0.4, ends)
    expected = improvement.expected(fresh, Prediction(mean, deviation, max_score).expected_excess)
    drawn = mean[:, None] + deviation[:, None] * rng.standard_normal((3, 4000))
    accuracies = drawn if max_score is None else max_score - np.exp(-drawn)
    before = volume(observed, costs, 0.4, ends)
    for i in range(3):
        gains = [
            volume([*observed, a], np.vstack([costs, fresh[i]]), 0.4, ends) - before
            for a in accuracies[i]
        ]
        error = np.std(gains) / len(gains) ** 0.5
        assert expected[i] == pytest.approx(np.mean(gains), abs=4 * error + 1e-5)


def test_many_candidates_are_evaluated_like_single_ones():
    rng = np.random.default_rng(0)
    observed, costs = rng.uniform(0, 1, 200), rng.uniform(0, 1, (200, 3))
    improvement = HypervolumeImprovement(observed, costs, 0.0, np.ones(3))
    fresh, accuracies = rng.uniform(0, 0.4, (500, 3)), rng.uniform(0.5, 1, 500)
    together = improvement.expected(fresh, certain(accuracies))
    for i in range(0, 500, 50):
        alone = improvement.expected(fresh[i : i + 1], certain(accuracies[i : i + 1]))
        assert together[i] == pytest.approx(alone[0], rel=1e-9)
    assert together.max() > 0


@pytest.mark.parametrize(
    ("k", "n", "error"),
    [(1, 600, 1e-9), (2, 500, 1e-9), (3, 60, 1e-9), (2, 1000, 2e-3), (3, 300, 1e-2)],
)
def test_a_front_of_hundreds_is_exact_or_nearly_so(k, n, error):
    rng = np.random.default_rng(0)
    points = np.abs(rng.standard_normal((n, k + 1)))
    # On a sphere, no network dominates another.
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    accuracies, costs = points[:, 0], 1 - points[:, 1:]
    improvement = HypervolumeImprovement(accuracies, costs, 0.0, np.ones(k))
    fresh = rng.uniform(0, 0.8, (6, k))
    gains = improvement.expected(fresh, certain(np.full(6, 0.7)))
    before = volume(accuracies, costs, 0.0, np.ones(k))
    for one, gain in zip(fresh, gains, strict=True):
        after = volume([*accuracies, 0.7], np.vstack([costs, one]), 0.0, np.ones(k))
        assert gain == pytest.approx(after - before, abs=error)


@pytest.mark.parametrize("k", [2, 3])
def test_the_grid_of_a_large_front_stays_small(k):
    rng = np.random.default_rng(0)
    points = np.abs(rng.standard_normal((1000, k + 1)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    improvement = HypervolumeImprovement(points[:, 0], 1 - points[:, 1:], 0.0, np.ones(k))
    assert len(improvement._lower) <= 1 << 18


@pytest.mark.parametrize("slope", [-0.5, 0.07])
def test_the_expected_reward_is_the_mean_over_accuracies(slope):
    def reward(accuracy, costs):
        return accuracy * (costs[0] / 3) ** -0.07 + slope * costs[0]

    rng = np.random.default_rng(0)
    observed, costs = rng.uniform(0.5, 0.8, 10), rng.uniform(1, 5, (10, 1))
    best = max(reward(a, c) for a, c in zip(observed, costs, strict=True))
    fresh = np.array([[1.0], [2.5], [4.5]])
    mean, deviation = np.array([1.2, 1.6, 2.0]), np.array([0.4, 0.3, 0.5])
    prediction = Prediction(mean, deviation, 1.0)
    expected = RewardImprovement(reward, observed, costs).expected(
        fresh, prediction.expected_excess
    )
    drawn = mean[:, None] + deviation[:, None] * rng.standard_normal((3, 100_000))
    for i in range(3):
        gains = np.maximum(reward(1 - np.exp(-drawn[i]), fresh[i]) - best, 0)
        error = gains.std() / len(gains) ** 0.5 + 1e-12
        assert expected[i] == pytest.approx(gains.mean(), abs=4 * error + 1e-6)


def test_networks_that_cannot_beat_the_best_add_nothing():
    improvement = RewardImprovement(
        lambda accuracy, costs: accuracy - costs[0], np.array([0.9]), np.array([[0.0]])
    )
    gains = improvement.expected(np.array([[0.0], [0.5]]), certain([0.9, 0.95]))
    assert gains.tolist() == pytest.approx([0, 0])


def test_the_reference_lies_a_tenth_below_the_front():
    # 0.2 is dominated: a network that failed to learn does not count.
    accuracies, costs = np.array([0.5, 0.7, 0.9, 0.2]), np.array([[1.0], [2.0], [3.0], [1.5]])
    assert reference_accuracy(accuracies, costs) == pytest.approx(0.5 - 0.04)
    alike = reference_accuracy(np.full(3, 0.8), np.array([[1.0], [2.0], [3.0]]))
    assert alike == pytest.approx(0.72)
    assert reference_accuracy(np.zeros(2), np.ones((2, 1))) == pytest.approx(-0.1)
    assert reference_accuracy(np.full(2, -5.0), np.ones((2, 1))) == pytest.approx(-5.5)
    # Less a tenth of 0.95 - 0.9; the network of 0.1 is dominated.
    found = reference_accuracy(np.array([0.9, 0.1, 0.95]), np.array([[1.0], [1.0], [2.0]]))
    assert found == pytest.approx(0.895)
    # Duplicates count once, and of equally accurate networks the cheaper one is on the front.
    accuracies = np.array([0.5, 0.5, 0.5, 0.7])
    tied = reference_accuracy(accuracies, np.array([[1.0, 2], [1, 2], [1, 3], [2, 1]]))
    assert tied == pytest.approx(0.5 - 0.02)
