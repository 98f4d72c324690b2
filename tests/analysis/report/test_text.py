"""The sentences of a report hold for unusual runs, too."""

import dataclasses
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.read.population import population_of
from analysis.read.runs import OBJECTIVES, Run, with_scores, within_limits
from analysis.report.text import data_remark, kernel_times, population_summary, summary
from analysis.schema import RETRAINING_COLUMNS
from analysis.statistics.fronts import pareto_front
from analysis.statistics.population_card import cards


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
    config = {"space": "mixnet", "data": "pets", "device": "phone", "command": "nas.search"}
    config["limits"] = limits or {}
    return Run(
        path=Path("run"),
        config=config,
        trials=with_scores(trials),
        references=with_scores(named),
        retrained=pd.DataFrame(columns=RETRAINING_COLUMNS),
        conditions={"score_scale": {"is_accuracy": True}},
        best="trial_0",
    )


def said(found):
    return " ".join(summary(found, pareto_front(within_limits(found.completed), OBJECTIVES)))


def test_limits_that_nobody_keeps():
    words = said(run([0.5, 0.6], [3, 4], limits={"latency": "1ms"}, kept=[False, False]))
    assert "2 networks of the space mixnet were evaluated on pets" in words
    assert "None of them satisfies the limits (latency 1ms)" in words
    assert "No network satisfies the limits, so there is no Pareto front" in words


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ([True, True], "measured on phone. All of them satisfy the limits (latency 9ms)"),
        ([True, False], "1 of them satisfies the limits (latency 9ms)"),
    ],
)
def test_limits_that_are_kept(kept, wanted):
    assert wanted in said(run([0.5, 0.6], [3, 4], limits={"latency": "9ms"}, kept=kept))


def test_predicted_latencies_are_not_called_measured():
    assert "its latency was measured on phone" in said(run([0.5], [3]))
    words = said(run([0.5], [3], latency_source="predicted"))
    assert "1 network of the space mixnet was evaluated on pets" in words
    assert "its latency was predicted for phone" in words
    assert "measured" not in words


def test_images_on_which_networks_are_alike_are_called_easy():
    found = run([0.5, 0.6], [3, 4])
    assert "easy" not in said(found)
    words = said(replace(found, config={**found.config, "data": "digits"}))
    assert "Most networks are equally good on digits, which is easy." in words
    assert "--data FOLDER" in words


def by_chance(found, guessed, **config):
    """A run whose conditions say what guessing would reach."""
    conditions = {"score_scale": {"is_accuracy": True, "guessed": guessed}}
    return replace(found, conditions=conditions, config={**found.config, **config})


HALF = {"right": 75, "images": 150}  # 50%, with a standard error of 4.1%


@pytest.mark.parametrize(
    ("scores", "guessed", "told"),
    [
        ([0.48, 0.58], HALF, True),
        ([0.40, 0.50], HALF, True),
        ([0.54, 0.64], HALF, False),  # 59% on average: more than two standard errors
        ([0.5] * 9 + [0.9], HALF, False),  # but one of them has learned
        ([0.5] * 9 + [0.65], HALF, True),  # the highest of ten guesses may be
        ([0.48, 0.58], {"right": 5_000, "images": 10_000}, False),
        ([0.85, 0.95], {"right": 90, "images": 100}, True),
        ([math.nan, math.nan], HALF, False),
        ([0.48, 0.58], None, False),
        ([0.48, 0.58], {"right": "all", "images": 150}, False),
        ([0.48, 0.58], {"right": 151, "images": 150}, False),
        ([0.48, 0.58], "damaged", False),
    ],
)
def test_scores_that_chance_explains_say_little(scores, guessed, told):
    found = by_chance(run(scores, [3] * len(scores)), guessed)
    assert ("Accuracies are no better than chance" in data_remark(found)) is told
    losses = replace(found, conditions={"score_scale": {"is_accuracy": False, "guessed": guessed}})
    assert data_remark(losses) == ""


def test_what_may_help_against_chance_is_what_was_not_done():
    found = run([0.48, 0.58], [3, 4])
    words = said(by_chance(found, HALF))
    assert "53.0% on average, where always naming the most frequent class would be right" in words
    assert "for 50.0% of the 150 validation images" in words
    assert "images, with --thorough or from pretrained weights (--estimator" in words
    done = {"command": "nas.search --thorough", "estimator": "supernet:weights=mine.safetensors"}
    words = said(by_chance(found, HALF, **done, data="digits"))
    assert "A new search may do better with more training images." in words
    assert "easy" not in words


def test_what_scores_are_is_told_if_they_are_not_as_estimated():
    words = said(run([0.5, 0.6, 0.65], [3, 4, 5], raw_score=[0.5, 0.9, 0.7]))
    assert "from trial_0 (50.0% at 3.00 ms) to trial_2 (65.0% at 5.00 ms)" in words
    assert "A score here is what the estimates of all 3 networks suggest of one of them" in words
    # Mean of 50 - 50, 90 - 60 and 70 - 65.
    assert "were estimated to be 11.7 percentage points better" in words
    even = said(run([0.5, 0.6, 0.65], [3, 4, 5], raw_score=[0.5001, 0.6, 0.65]))
    assert "were estimated to be as good as that." in even
    assert "suggest" not in said(run([0.5, 0.6, 0.65], [3, 4, 5]))


def test_equal_networks_reach_from_nowhere_to_nowhere():
    words = said(run([0.5] * 6, [3] * 6))
    assert (
        "6 networks tie for both the highest score and the lowest latency (50.0% at 3.00 ms)"
        in words
    )
    assert "range" not in words


@pytest.mark.parametrize(("latency", "told"), [(3.01, False), (6.0, True)])
def test_a_reference_is_beaten_by_more_than_noise(latency, told):
    words = said(run([0.5, 0.4], [3, 2], references=[("mixnet_s", 0.5, latency)]))
    assert ("scores at least as high as mixnet_s and is 2.0 times as fast" in words) == told


def test_the_front_turns_where_more_score_costs_most():
    words = said(run([0.5, 0.8, 0.82], [1, 2, 9]))
    assert "The knee of the front is trial_1 (80.0% at 2.00 ms)" in words


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (1, "mixnet_s: significance unknown after one training"),
        (3, "were retrained with 3 seeds"),
    ],
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


@pytest.mark.parametrize(
    ("best", "told"),
    [
        (0.8, "no significant difference (no lead of less than 3.5 percentage points could have"),
        (0.9, "compared with each reference: mixnet_s: better."),
        (math.nan, "mixnet_s: not known: a network has no test accuracy."),
    ],
)
def test_a_verdict_tells_the_smallest_lead(best, told):
    rows = [
        dict.fromkeys(RETRAINING_COLUMNS, 0)
        | {"name": name, "kind": kind, "seed": seed, "test_images": 1000}
        | {"validation": 0.9, "test": level}
        for name, kind, level in (("trial_0", "front", best), ("mixnet_s", "reference", 0.8))
        for seed in range(3)
    ]
    found = replace(run([0.5, 0.6], [3, 4]), retrained=pd.DataFrame(rows))
    # Without noise of training: 1.96 * sqrt(2 * 0.8 * 0.2 / 1000) is 3.5 points.
    assert told in said(found)


@pytest.mark.parametrize(
    ("scores", "kept", "text"),
    [
        ([0.5], [True], "It satisfies the limits (latency 9ms)."),
        ([0.5], [False], "It does not satisfy the limits (latency 9ms)."),
        ([0.5, 0.6, 0.7], [True, True, False], "2 of them satisfy the limits (latency 9ms)."),
        ([], [], "The limits are latency 9ms. No trial has completed"),
    ],
)
def test_limits_are_said_in_the_singular_and_plural(scores, kept, text):
    latencies = [3.0 + i for i in range(len(scores))]
    assert text in said(run(scores, latencies, limits={"latency": "9ms"}, kept=kept))


def test_a_single_network_is_the_whole_front():
    words = said(run([0.5, 0.9], [4, 3]))
    assert "One network, trial_1, has both the highest score and the lowest latency" in words
    assert "(90.0% at 3.00 ms)" in words


def test_trials_without_a_result_are_counted():
    trials = run([0.5, 0.6, 0.7, 0.8], [1, 2, 3, 4], reason="")
    trials.trials.loc[[1, 2], "state"] = ["fail", "pruned"]
    assert "2 of 4 trials ended without a result" in said(trials)


def test_a_population_is_summarized_by_its_most_important_variables():
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 9, 60)
    found = run(0.5 + 0.05 * depth, 1.0 + depth, **{"x.depth": depth, "x.width": rng.random(60)})
    (card,) = cards([population_of(found)])
    first, last = population_summary(card)
    assert re.search(r"\(PED-ANOVA\): depth \(\d+%\), width \(\d+%\)\.", first)
    assert last.startswith("These statistics are based on 60 networks")
    assert population_summary(None) == []


def test_what_kernels_cost_on_the_device_is_told_beside_those_that_won():
    found = run([0.5, 0.6], [1.0, 2.0])
    assert kernel_times(found) == []  # nothing was measured
    for odd in (
        "fast",
        {"3x3": "fast"},
        {"3x3": 0.1},
        {"3x3": 0.1, "5x5": -1},
        {"3x3": 0.1, "5x5": math.inf},
    ):
        assert kernel_times(dataclasses.replace(found, conditions={"depthwise_ms": odd})) == []
    measured = {"3x3": 0.012, "5x5": 0.04, "7x7": 1.05}
    (sentence,) = kernel_times(dataclasses.replace(found, conditions={"depthwise_ms": measured}))
    assert "takes 0.012 ms with 3x3, 0.040 ms with 5x5, 1.050 ms with 7x7 kernels" in sentence
    assert "87.5 times as long with 7x7 as with 3x3" in sentence
    assert "far longer" not in sentence
    known = {"depthwise_ms": measured, "depthwise_cliff": 7}
    (sentence,) = kernel_times(dataclasses.replace(found, conditions=known))
    assert "From 7x7 on, a tap takes far longer than in smaller kernels" in sentence


@pytest.mark.parametrize(
    ("noise", "source", "told"),
    [
        ("", "measured", "trial_0 scores at least as high as mixnet_s and is 2.0 times as fast."),
        ("others", "measured", "faster than mixnet_s, whose latency was measured on a noisy mac"),
        ("", "predicted", "No network is called faster than mixnet_s, whose latency was predicted"),
        (None, None, "trial_0 scores at least as high as mixnet_s and is 2.0 times as fast."),
    ],
)
def test_no_claim_rests_on_a_reference_that_was_disturbed(noise, source, told):
    found = run([0.5], [3], references=[("mixnet_s", 0.5, 6.0)])
    found.references["latency_noise"] = noise
    found.references["latency_source"] = source
    words = said(found)
    assert told in words
    assert ("times as fast" in words) == (noise in ("", None) and source != "predicted")


def test_no_claim_rests_on_a_network_that_was_disturbed():
    """The quiet network is named in its place, though it is slower."""
    found = run(
        [0.9, 0.8, 0.7],
        [4, 2, 1],
        references=[("mixnet_s", 0.7, 8.0)],
        latency_noise=["", "others", "others"],
        latency_source="measured",
    )
    words = said(found)
    assert "trial_0 scores at least as high as mixnet_s and is 2.0 times as fast." in words
    assert "trial_2 (70.0% at 1.00 ms, measured on a noisy machine) to trial_0 (90.0% at 4" in words
