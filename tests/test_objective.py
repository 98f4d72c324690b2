"""Rewards, checked against the values in their papers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.objective import (
    HARD,
    Objective,
    absolute_reward,
    mnasnet_reward,
    open_objective,
)

latencies = st.floats(0.1, 1000.0)


def test_doubling_the_latency_costs_as_much_as_five_percent_of_accuracy():
    # Tan et al. 2019, section 3: accuracy a(1 + 5%) at latency 2l is worth as much as a at l.
    assert mnasnet_reward(0.5 * 1.05, 160, 80) == pytest.approx(
        mnasnet_reward(0.5, 80, 80), rel=1e-3
    )


def test_the_hard_reward_is_accuracy_up_to_the_target():
    assert mnasnet_reward(0.5, 40, 80, HARD) == 0.5
    assert mnasnet_reward(0.5, 80, 80, HARD) == 0.5
    assert mnasnet_reward(0.5, 160, 80, HARD) == 0.25


@given(st.floats(0.0, 1.0), latencies, latencies)
def test_the_absolute_reward_is_highest_at_the_target(accuracy, ms, target):
    assert absolute_reward(accuracy, target, target) == accuracy
    assert absolute_reward(accuracy, ms, target) <= accuracy
    above, below = (absolute_reward(accuracy, f * target, target) for f in (1.5, 0.5))
    assert above == pytest.approx(below)


@given(st.floats(0.01, 1.0), latencies)
def test_faster_is_never_worse_in_mnasnets_rewards(accuracy, target):
    for name in ("mnasnet", "mnasnet-hard"):
        objective = Objective(name, target)
        rewards = [objective.values(accuracy, f * target)[0] for f in (0.5, 1.0, 1.5, 2.0)]
        assert rewards == sorted(rewards, reverse=True)


def test_a_front_has_two_values_and_a_reward_one():
    assert open_objective("pareto", None).values(0.9, 8.0) == [0.9, 8.0]
    assert open_objective("pareto", None).directions == ["maximize", "minimize"]
    objective = open_objective("absolute", "8ms")
    assert objective.values(0.9, 8.0) == [0.9]
    assert objective.directions == ["maximize"]


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("parto", None, r"unknown objective 'parto' \(did you mean 'pareto'\?\)"),
        ("pareto", "8ms", "omit --target.*--limit latency=8ms"),
        ("mnasnet", None, "needs a target latency, such as --target 8ms"),
        ("mnasnet", "8", "'8' is not a time; accepted forms: 8ms"),
        ("absolute", "0ms", "--target must be greater than zero, not 0ms"),
    ],
)
def test_invalid_objectives_are_refused(name, target, words):
    with pytest.raises(MixnasError, match=words):
        open_objective(name, target)


def test_several_devices_have_a_latency_each():
    objective = open_objective("pareto", None, 3)
    assert objective.directions == ["maximize", "minimize", "minimize", "minimize"]
    assert objective.values(0.9, 8.0, 5.0, 6.0) == [0.9, 8.0, 5.0, 6.0]
    with pytest.raises(MixnasError, match="the latency on one device, but there are 2 devices"):
        open_objective("mnasnet", "8ms", 2)


def test_values_have_names_in_their_order():
    assert Objective("pareto").value_names(["a"]) == ["score", "latency (ms)"]
    assert Objective("pareto", devices=2).value_names(["a", "b"]) == [
        "score",
        "latency on a (ms)",
        "latency on b (ms)",
    ]
    assert open_objective("mnasnet", "8ms").value_names(["a"]) == ["reward"]
