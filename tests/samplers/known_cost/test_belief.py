"""What is believed of scored networks: noise is taken off, and little else."""

import numpy as np
import pytest

from nas.samplers.known_cost import belief
from nas.samplers.known_cost.belief import FEWEST, believed_accuracies


def networks(n, noise, seed=0):
    """Encodings, costs, true accuracies and noisy scores of made-up networks."""
    rng = np.random.default_rng(seed)
    encoded = rng.integers(0, 2, (n, 12)).astype(float)
    costs = np.exp(encoded[:, :6].sum(1, keepdims=True) + rng.random((n, 1)))
    truth = 0.75 + encoded @ (0.02 * rng.random(12)) + 0.01 * np.log(costs[:, 0])
    return encoded, costs, truth, truth + noise * rng.standard_normal(n)


def error(values, truth):
    return float(np.sqrt(np.mean((values - truth) ** 2)))


@pytest.mark.parametrize("n", [60, 200])
def test_beliefs_are_nearer_to_the_truth_than_noisy_scores(n):
    encoded, costs, truth, scores = networks(n, noise=0.02)
    beliefs = believed_accuracies(encoded, costs, scores)
    assert error(beliefs, truth) < 0.7 * error(scores, truth)
    highest = np.argmax(scores)
    assert truth[highest] < scores[highest]  # the winner's curse
    assert abs(beliefs[highest] - truth[highest]) < scores[highest] - truth[highest]


def test_scores_without_noise_are_believed():
    encoded, costs, truth, _ = networks(100, noise=0)
    assert np.ptp(truth) > 0.1
    assert believed_accuracies(encoded, costs, truth) == pytest.approx(truth, abs=0.003)


def test_a_few_scores_are_believed_as_they_are():
    encoded, costs, _, scores = networks(FEWEST - 1, noise=0.02)
    assert believed_accuracies(encoded, costs, scores) is scores
    assert believed_accuracies(encoded[:0], costs[:0], scores[:0]).shape == (0,)


def test_equal_scores_are_believed_as_they_are():
    encoded, costs, *_ = networks(20, noise=0.02)
    assert believed_accuracies(encoded, costs, np.full(20, 0.9)).tolist() == [0.9] * 20


def test_no_belief_exceeds_the_highest_possible_score():
    encoded, costs, truth, _ = networks(40, noise=0)
    scores = np.minimum(truth + 0.1, 1.0)
    assert (scores == 1).any()
    assert believed_accuracies(encoded, costs, scores).max() < 1


def test_beliefs_are_shares(monkeypatch):
    rng = np.random.default_rng(0)
    encoded, costs, *_ = networks(40, noise=0)
    chance = np.clip(0.01 + 0.005 * rng.standard_normal(40), 0, 1)
    beliefs = believed_accuracies(encoded, costs, chance)
    assert (beliefs.min() >= 0, beliefs.max() < 0.05) == (True, True)


@pytest.mark.parametrize("odd", [0.0, -3.0])
def test_costs_that_are_not_positive_are_ignored(odd):
    encoded, costs, _, scores = networks(60, noise=0.02)
    costs = np.concatenate([costs, costs], axis=1)
    costs[3, 1] = odd
    expected = believed_accuracies(encoded, costs[:, :1], scores)
    assert believed_accuracies(encoded, costs, scores).tolist() == expected.tolist()
    assert np.isfinite(believed_accuracies(encoded, costs[:, 1:], scores)).all()


def test_many_networks_are_modeled_in_parts(monkeypatch):
    encoded, costs, truth, scores = networks(201, noise=0.02)
    monkeypatch.setattr(belief, "MOST", 60)
    beliefs = believed_accuracies(encoded, costs, scores)
    assert error(beliefs, truth) < 0.8 * error(scores, truth)
    assert (beliefs != scores).all()
