"""What a report says in words holds for odd runs, too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.read.runs import OBJECTIVES, Run, within_limits
from analysis.report.text import summary
from analysis.statistics.fronts import pareto_front
from analysis.statistics.retraining import RETRAINING_COLUMNS


def run(scores, latencies, references=(), limits=None, kept=None, **columns):
    """A run of trials, all complete."""
    trials = pd.DataFrame(
        {
            "number": range(len(scores)),
            "state": "complete",
            "accuracy": np.array(scores, dtype=float),
            "score": np.array(scores, dtype=float),
            "latency_ms": np.array(latencies, dtype=float),
            **columns,
        }
    )
    if kept is not None:
        trials["within_limits"] = kept
    named = pd.DataFrame(references, columns=["name", "score", "latency_ms"])
    config = {"space": "mixnet", "data": "pets", "device": "phone", "limits": limits or {}}
    return Run(
        Path("run"), config, trials, named, pd.DataFrame(columns=RETRAINING_COLUMNS), {}, "trial_0"
    )


def said(found):
    return " ".join(summary(found, pareto_front(within_limits(found.completed), OBJECTIVES)))


def test_limits_that_nobody_keeps():
    words = said(run([0.5, 0.6], [3, 4], limits={"latency": "1ms"}, kept=[False, False]))
    assert "2 networks of the space mixnet were judged on pets" in words
    assert "0 of them kept the limits latency 1ms" in words
    assert "No network keeps the limits" in words


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ([True, True], "2 networks of the space mixnet within the limits latency 9ms were"),
        ([True, False], "1 of them kept the limits latency 9ms"),
    ],
)
def test_limits_that_are_kept(kept, wanted):
    assert wanted in said(run([0.5, 0.6], [3, 4], limits={"latency": "9ms"}, kept=kept))


def test_predicted_latencies_are_not_called_measured():
    assert "measured on phone" in said(run([0.5], [3]))
    words = said(run([0.5], [3], latency_source="predicted"))
    assert "1 network of the space mixnet was judged on pets" in words
    assert "latencies predicted for phone" in words
    assert "measured" not in words


def test_equal_networks_reach_from_nowhere_to_nowhere():
    words = said(run([0.5] * 6, [3] * 6))
    assert "6 of them are the best and the fastest alike (50.0% in 3.00 ms)" in words
    assert "reach" not in words


@pytest.mark.parametrize(("latency", "told"), [(3.01, False), (6.0, True)])
def test_a_reference_is_beaten_by_more_than_noise(latency, told):
    words = said(run([0.5, 0.4], [3, 2], references=[("mixnet_s", 0.5, latency)]))
    assert ("scores no less than mixnet_s and is 2.0 times as fast" in words) == told


def test_the_front_turns_where_more_score_costs_most():
    words = said(run([0.5, 0.8, 0.82], [1, 2, 9]))
    assert "The front turns at trial_1 (80.0% in 2.00 ms)" in words


@pytest.mark.parametrize(
    ("seeds", "told"), [(1, "one training shows no noise"), (3, "with 3 seeds")]
)
def test_retrainings_tell_their_seeds(seeds, told):
    kinds = [("trial_0", "front", 0.9), ("mixnet_s", "reference", 0.8)]
    rows = [
        dict.fromkeys(RETRAINING_COLUMNS, 0)
        | {"name": name, "kind": kind, "seed": seed, "test_images": 1000}
        | {"validation": level + seed / 1000, "test": level + seed / 1000}
        for name, kind, level in kinds
        for seed in range(seeds)
    ]
    found = run([0.5, 0.6], [3, 4])
    again = Run(
        found.path, found.config, found.trials, found.references, pd.DataFrame(rows), {}, "trial_0"
    )
    assert told in said(again)
