"""The regression from work to latency."""

import numpy as np
import pytest

from nas.latency.prediction.model import LatencyModel


def test_the_same_data_give_the_same_model():
    rng = np.random.default_rng(0)
    features = [{"a": float(a), "b": float(b)} for a, b in rng.uniform(1, 9, (30, 2))]
    latencies = np.array([2 * row["a"] + row["b"] for row in features])
    first, second = (LatencyModel(features, latencies).predict(features) for _ in range(2))
    assert (first == second).all()
    assert np.abs(first / latencies - 1).max() < 0.05
    # What is trusted less counts less.
    wrong = np.concatenate([latencies, 3 * latencies])
    trust = np.repeat([1.0, 0.01], len(latencies))
    guarded = LatencyModel(features * 2, wrong, trust).predict(features)
    assert np.abs(guarded / latencies - 1).max() < 0.1
    unseen = LatencyModel(features, latencies).predict([{"a": 1.0, "b": 1.0, "c": 9.0}])
    assert unseen[0] == pytest.approx(3.0, rel=0.3)


def test_coefficients_and_intercept_are_found():
    rng = np.random.default_rng(0)
    features = [{"a": float(a), "b": float(b)} for a, b in rng.uniform(100, 900, (200, 2))]
    latencies = np.array([0.02 * row["a"] + 0.01 * row["b"] + 3 for row in features])
    model = LatencyModel(features, latencies)
    assert model.names == ["a", "b"]
    assert model.constant_ms == pytest.approx(3, rel=0.2)
    assert model.part_ms({"a": 100.0}) == pytest.approx(2, rel=0.1)
    assert model.part_ms({"b": 100.0, "c": 5.0}) == pytest.approx(1, rel=0.1)
    parts = model.part_ms({"a": 100.0}) + model.part_ms({"b": 50.0}) + model.constant_ms
    assert model.predict([{"a": 100.0, "b": 50.0}])[0] == pytest.approx(parts)


def test_no_work_makes_a_network_faster():
    features = [{"a": float(n)} for n in range(1, 10)]
    model = LatencyModel(features, np.array([10.0 - row["a"] for row in features]))
    assert model.part_ms({"a": 1.0}) == 0
    assert 1 < model.constant_ms < 9


def test_the_fit_is_that_of_least_squares_on_relative_errors():
    features = [{"a": 1.0}, {"a": 3.0, "b": 2.0}, {"a": 2.0, "b": 4.0}]
    latencies, trust = np.array([1.0, 4.0, 5.0]), np.array([1.0, 0.5, 1.0])
    # Amounts in units of their means, 2 and 2, and an intercept; a ridge of 0.02 root 3 over 3.
    amounts = np.array([[0.5, 0, 1], [1.5, 1, 1], [1, 2, 1]])
    system = np.vstack([amounts * (trust / latencies)[:, None], 0.02 * 3**0.5 / 3 * np.eye(3)])
    expected, *_ = np.linalg.lstsq(system, np.array([1, 0.5, 1, 0, 0, 0]))
    assert (expected > 0).all()
    model = LatencyModel(features, latencies, trust)
    assert model.constant_ms == pytest.approx(expected[2])
    assert model.part_ms({"a": 1.0}) == pytest.approx(expected[0] / 2)
    assert model.part_ms({"b": 3.0}) == pytest.approx(expected[1] * 1.5)
    assert model.predict([{"a": 2.0}]).tolist() == pytest.approx([expected[0] + expected[2]])
    equal = LatencyModel(features, latencies), LatencyModel(features, latencies, np.ones(3))
    assert equal[0].constant_ms == equal[1].constant_ms
