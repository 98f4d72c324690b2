"""The table of trials: which value goes into which column."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from nas.objective import Objective, open_objective
from nas.samplers import distributions
from nas.space import space_from_yaml
from nas.study.table import LATENCY_COLUMNS, estimate_columns, latency_columns, trial_table

PARETO = open_objective("pareto", None)
space = space_from_yaml(
    "{name: two, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16]}, "
    "expansion: {choice: [2, 3]}}}}"
)
LATENCY = {
    "median_ms": 8.0,
    "steady_ms": 6.0,
    "p10_ms": 7.0,
    "p90_ms": 10.0,
    "n": 50,
    "source": "measured",
    "noise": ["busy", "hot"],
}


def trial(number=0, state=TrialState.COMPLETE, parameters=True, **attributes):
    params = {v.name: v.labels[1] for v in space.variables} if parameters else {}
    result = create_trial(
        state=state,
        values=[0.9, 6.0] if state == TrialState.COMPLETE else None,
        params=params,
        distributions=distributions(space) if parameters else {},
        user_attrs=attributes,
    )
    result.number = number
    return result


def test_latencies_are_scaled_to_the_usual_speed_of_the_machine():
    # The machine ran at 8 / 6 of its usual latency.
    assert latency_columns(LATENCY) == {
        "latency_ms": 6.0,
        "latency_p10_ms": 5.25,
        "latency_p90_ms": 7.5,
        "latency_n": 50,
        "latency_source": "measured",
        "latency_noise": "busy; hot",
    }


def test_a_missing_latency_leaves_its_columns_empty():
    assert latency_columns({}) == dict.fromkeys(LATENCY_COLUMNS)


def test_the_score_of_an_estimate_is_its_accuracy_unless_it_has_one():
    estimate = {"accuracy": 0.75, "loss": 0.5, "seconds": 12.0}
    columns = {"accuracy": 0.75, "loss": 0.5, "train_seconds": 12.0}
    assert estimate_columns(estimate) == {**columns, "score": 0.75, "raw_score": 0.75}
    other = estimate_columns({**estimate, "score": 3.5})
    assert other == {**columns, "score": 3.5, "raw_score": 3.5}
    assert estimate_columns({}) == dict.fromkeys(other)


def test_a_row_holds_attributes_costs_results_and_the_genotype():
    cost = {"params": 1, "madds": 2, "activations": 3, "peak_memory": 4}
    complete = trial(
        number=5,
        spec_hash="abc",
        architecture="conv",
        cost=cost,
        seed=7,
        latency=LATENCY,
        estimate={"accuracy": 0.9, "loss": 0.4, "seconds": 2.0},
    )
    table = trial_table([complete], space, PARETO, {})
    assert list(table.columns) == [
        "number", "state", "reason", "spec_hash", "architecture", "params", "madds", "activations",
        "peak_memory", "accuracy", "loss", "train_seconds", "score", "raw_score", *LATENCY_COLUMNS,
        "reward", "seed", *(f"x.{v.name}" for v in space.variables),
    ]  # fmt: skip
    row = table.iloc[0]
    assert (row["number"], row["state"], row["reason"]) == (5, "complete", "")
    assert (row["spec_hash"], row["architecture"], row["seed"]) == ("abc", "conv", 7)
    assert {name: row[name] for name in cost} == cost
    assert (row["accuracy"], row["loss"], row["train_seconds"]) == (0.9, 0.4, 2.0)
    assert row["latency_ms"] == 6.0
    assert pd.isna(row["reward"])
    assert {name: row[f"x.{name}"] for name in complete.params} == complete.params


def test_a_confirmed_latency_replaces_that_of_its_trial():
    trials = [trial(n, latency=LATENCY) for n in (0, 1)]
    confirmed = {(1, "latency"): {**LATENCY, "steady_ms": 9.0, "noise": []}}
    table = trial_table(trials, space, PARETO, confirmed)
    assert list(table["latency_ms"]) == [6.0, 9.0]
    assert list(table["latency_noise"]) == ["busy; hot", ""]


def test_the_reward_needs_a_score_and_a_latency():
    objective = Objective("absolute", 5.0)
    estimate = {"accuracy": 0.9, "loss": 0.4, "seconds": 2.0}
    trials = [
        trial(latency=LATENCY, estimate=estimate),
        trial(latency=LATENCY),
        trial(estimate=estimate),
    ]
    first, *others = trial_table(trials, space, objective, {})["reward"]
    assert first == pytest.approx(0.9 - 0.07 * 0.2)
    assert all(pd.isna(reward) for reward in others)


def test_complete_trials_have_the_scores_that_all_of_them_suggest():
    complete = [trial(n, latency=LATENCY, estimate={"accuracy": 0.5 + 0.1 * n}) for n in (0, 1)]
    others = [
        trial(2, state=TrialState.FAIL, estimate={"accuracy": 0.9}),
        trial(3, latency=LATENCY),
    ]
    beliefs = SimpleNamespace(of=lambda genotypes, rows: [r["raw_score"] - 0.05 for r in rows])
    objective = Objective("absolute", 6.0)
    table = trial_table([*complete, *others], space, objective, {}, beliefs=beliefs)
    assert table["score"].tolist() == pytest.approx([0.45, 0.55, 0.9, math.nan], nan_ok=True)
    assert table["raw_score"].tolist() == pytest.approx([0.5, 0.6, 0.9, math.nan], nan_ok=True)
    assert table["reward"][0] == pytest.approx(0.45)


def test_a_trial_without_parameters_has_no_genotype():
    failed = trial(state=TrialState.FAIL, parameters=False, reason="interrupted")
    row = trial_table([failed], space, PARETO, {}).iloc[0]
    assert (row["state"], row["reason"], row["spec_hash"]) == ("fail", "interrupted", "")
    assert row[[f"x.{v.name}" for v in space.variables]].isna().all()
    assert row[["madds", "accuracy", "latency_ms"]].isna().all()


def test_a_study_without_trials_is_an_empty_table_with_all_columns():
    table = trial_table([], space, PARETO, {})
    assert len(table) == 0
    assert "latency_ms" in table.columns
    assert f"x.{space.variables[0].name}" in table.columns


def test_several_devices_have_columns_of_their_own_and_the_first_one_the_plain_ones():
    faster = {**LATENCY, "steady_ms": 3.0, "noise": []}
    trials = [trial(0, latency=LATENCY, **{"latency@b": faster}), trial(1, latency=LATENCY)]
    confirmed = {(1, "latency@b"): {**faster, "steady_ms": 2.0}}
    table = trial_table(trials, space, PARETO, confirmed, ("a:cpu", "b"))
    assert list(table["latency_ms"]) == list(table["latency_ms@a:cpu"]) == [6.0, 6.0]
    assert list(table["latency_ms@b"]) == [3.0, 2.0]
    assert list(table["latency_noise@b"]) == ["", ""]
    columns = list(table.columns)
    assert columns.index("latency_ms") < columns.index("latency_ms@a:cpu")
    assert columns.index("latency_noise@b") < columns.index("reward")
    assert not [name for name in trial_table(trials, space, PARETO, {}).columns if "@" in name]
