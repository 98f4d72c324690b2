import random

import pandas as pd
import pytest

from analysis.schema import RAW_SCORE, VARIABLE
from experiments.benchmarks.winners import (
    RANDOM,
    chosen_trials,
    network_of,
    numbers_of,
    summary,
)
from experiments.mixnet_table.networks import CLASSES, SPACE
from nas.space import load_space

TRIALS = pd.DataFrame(
    {
        "number": [10, 11, 12, 13],
        "latency_ms": [1.0, 2.0, 3.0, 4.0],
        RAW_SCORE: [0.2, 0.5, 0.4, 0.9],
        "score": [0.3, 0.35, 0.4, 0.45],
    }
)
CHOSEN = [
    {"from_ms": 1.0, "to_ms": 2.5, "scores": 11, "beliefs": 11, RANDOM: 10},
    {"from_ms": 2.5, "to_ms": 4.0, "scores": 13, "beliefs": 12, RANDOM: 11},
]


def test_the_best_of_a_range_of_latency_is_chosen_by_scores_and_by_beliefs():
    """The ranges share no network: winners of all of them are independent."""
    ranges = chosen_trials(TRIALS.assign(score=[0.36, 0.35, 0.44, 0.43]), 2)
    assert [(row["from_ms"], row["to_ms"]) for row in ranges] == [(1.0, 2.5), (2.5, 4.0)]
    assert [(row["scores"], row["beliefs"]) for row in ranges] == [(11, 10), (13, 12)]
    assert ranges[0][RANDOM] in (10, 11)  # as fast as the others
    assert ranges[1][RANDOM] in (12, 13)
    assert chosen_trials(TRIALS, 2, seed=3) == chosen_trials(TRIALS, 2, seed=3)


def test_a_trial_is_trained_once_whatever_it_was_chosen_by():
    assert numbers_of(CHOSEN) == [11, 10, 13, 12]


def test_leads_are_those_over_the_random_networks_of_the_same_latencies():
    trained = {10: [0.5, 0.6], 11: [0.7, 0.7], 12: [0.8, 0.8], 13: [0.6, 0.7]}
    found = summary(TRIALS, CHOSEN, trained)
    leads = found["leads"]
    assert leads["scores"]["promised"] == pytest.approx((0.3 + 0.4) / 2)
    assert leads["beliefs"]["promised"] == pytest.approx((0.05 + 0.05) / 2)
    assert leads["scores"]["kept"] == pytest.approx((0.15 - 0.05) / 2)
    assert leads["beliefs"]["kept"] == pytest.approx((0.15 + 0.1) / 2)
    assert leads["scores"]["kept_standard_error"] == pytest.approx(0.1)
    assert [row["trial"] for row in found["rows"]] == [11, 11, 10, 13, 12, 11]
    assert found["rows"][4]["accuracies"] == [0.8, 0.8]


def test_the_network_of_a_trial_is_the_one_that_was_scored():
    space = load_space(SPACE).with_classes(CLASSES)
    drawn = [space.draw(random.Random(seed)) for seed in range(3)]
    rows = [
        {"number": n} | {f"{VARIABLE}{k}": v for k, v in space.to_params(g).items()}
        for n, g in enumerate(drawn)
    ]
    table = pd.DataFrame(rows)
    for number, genotype in enumerate(drawn):
        found = network_of(table, number)
        assert found.name == f"trial_{number}"
        assert found.digest() == space.decode(genotype).digest()
