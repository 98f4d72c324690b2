import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from nas.errors import MixnasError
from nas.spec import load_network
from nas.study.facts import (
    SPACE,
    changes,
    check_trials,
    compare_facts,
    in_words,
    is_latency,
    space_changes,
)
from nas.testing.fakes import InstantDevice

DISTRIBUTIONS = {"width": CategoricalDistribution(["16", "24"])}
LATENCY = InstantDevice().measure(load_network("mixnet_s")).to_dict()
ESTIMATE = {"accuracy": 0.5, "score": 0.5, "loss": 1.0, "seconds": 2.0, "seed": 0}


def trial(state=TrialState.COMPLETE, values=(0.5, 2.0), params=None, **attributes):
    params = {"width": "16"} if params is None else params
    return create_trial(
        state=state,
        values=list(values) if state == TrialState.COMPLETE else None,
        params=params,
        distributions={name: CategoricalDistribution([value]) for name, value in params.items()},
        user_attrs={"latency": {**LATENCY, "noise": []}, "estimate": ESTIMATE, "cost": {"madds": 3},
                    **attributes},
    )  # fmt: skip


def test_changes_are_named_by_their_place():
    before = {"stem": {"channels": 8}, "stages": {"a": {"depth": {"choice": [1, 2]}}}, "old": 1}
    after = {"stem": {"channels": 16}, "stages": {"a": {"depth": {"choice": [1, 3]}}}, "new": "x"}
    found = changes(before, after)
    assert found == [
        "stem.channels was 8, and is 16 now",
        "stages.a.depth.choice was [1, 2], and is [1, 3] now",
        "old was 1, and is not there now",
        'new was not there, and is "x" now',
    ]
    assert in_words(found).endswith("old was 1, and is not there now; 1 more")
    assert changes(before, dict(before)) == []
    assert space_changes({}, after) == ""
    assert space_changes({SPACE: before}, before) == ""
    assert space_changes({SPACE: before}, after) == in_words(found)


def test_facts_that_changed_are_named():
    compare_facts("accuracies", {"a": [1], "b": 2}, {"b": 2, "a": (1,)})
    with pytest.raises(MixnasError, match=r"the accuracies of this run .*: b, c changed; start"):
        compare_facts("accuracies", {"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})


def test_trials_as_a_search_writes_them_pass():
    running = trial(TrialState.RUNNING, estimate={})
    old = trial(estimate={"accuracy": 0.5, "loss": float("nan"), "seconds": 1.0, "seed": 0})
    check_trials([trial(), running, old, trial(TrialState.FAIL, params={})], DISTRIBUTIONS, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"params": {"depth": 3}}, "in trial -1 'depth' was 3, but there is no such variable now"),
        ({"params": {"width": "32"}}, "'width' was \"32\", but there is no such value now"),
        ({"cost": [1]}, "damaged: 'cost' is not a mapping"),
        ({"cost": {"madds": "many"}}, "'cost' holds something else than numbers"),
        ({"latency": {}}, "its latency lacks a number or its source"),
        ({"latency": 3}, "'latency' is not a mapping"),
        ({"estimate": {"accuracy": "high"}}, "its estimate holds something else than numbers"),
        (
            {"estimate": {"accuracy": float("nan")}},
            "its estimate holds something else than numbers",
        ),
        ({"estimate": {}}, "it is complete, but has no score or no latency"),
        ({"values": (0.5,)}, "it is complete, but does not have 2 values"),
    ],
)
def test_trials_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(MixnasError) as told:
        check_trials([trial(**changed)], DISTRIBUTIONS, 2)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "changed", [{"steady_ms": "2"}, {"median_ms": float("inf")}, {"noise": "a"}, {"source": None}]
)
def test_what_is_no_latency_is_told_apart(changed):
    whole = {**LATENCY, "noise": []}
    assert is_latency(whole)
    assert not is_latency({**whole, **changed})
    assert not is_latency([])
