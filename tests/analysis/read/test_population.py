import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.population import (
    ReadOptions,
    network_name,
    population_of,
    read_population,
    read_populations,
    with_unique_names,
)
from analysis.read.runs import Run, with_scores
from analysis.statistics.fronts import pareto_front

ROWS = pd.DataFrame(
    {
        "x.kernels": ["3", "3.5", "5"],
        "x.depth": [1, 2, 3],
        "accuracy": [0.5, 0.75, 0.6],
        "madds": [10, 20, 30],
    }
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_files_give_the_same_population(tmp_path, kind):
    path = tmp_path / f"networks.{kind}"
    if kind == "json":
        path.write_text(json.dumps(ROWS.to_dict("records")), encoding="utf-8")
    else:
        getattr(ROWS, f"to_{kind}")(path, index=False)
    found = read_population(str(path))
    assert found.name == "networks"
    assert found.label == "error"
    assert found.errors.tolist() == pytest.approx([0.5, 0.25, 0.4])
    assert found.variables == ("x.mean_kernel", "x.kernel_groups", "x.depth")
    assert found.table["x.mean_kernel"].tolist() == [3, 4, 5]
    assert found.table["x.kernel_groups"].tolist() == [1, 2, 1]
    assert found.objectives == {"accuracy": "max", "madds": "min"}
    assert found.table["x.kernels"].tolist() == ["3", "3.5", "5"]


def test_mixes_of_kernels_are_no_numbers(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.iloc[:2].to_csv(path, index=False)
    assert read_population(str(path)).table["x.kernels"].tolist() == ["3", "3.5"]


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(top5_error=[30.0, 20.0, 10.0]).to_csv(path, index=False)
    found = read_population(
        str(path), ReadOptions(error="top5_error", variables=("x.depth",), costs=("x.depth",))
    )
    assert found.errors.tolist() == [30, 20, 10]
    assert found.label == "top5_error"
    assert found.variables == ("x.depth",)
    assert found.objectives == {"top5_error": "min", "x.depth": "min"}


def test_scores_that_are_no_shares_are_turned_round(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(reward=[7.0, -1.0, 2.0]).to_csv(path, index=False)
    found = read_population(str(path), ReadOptions(score="reward"))
    assert found.errors.tolist() == [-7, 1, -2]
    assert found.label == "less reward"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "x", "give a run directory"),
        ("absent.csv", None, "no such file"),
        ("empty.csv", "", "cannot be read"),
        ("rows.csv", "accuracy\n", "no rows"),
        ("text.csv", "accuracy\nhigh\n", "must hold numbers, not text \\('high'\\)"),
        ("none.csv", "depth\n3\n", "--error COLUMN or --score"),
        ("broken.json", "{", "cannot be read"),
        ("number.json", "3", "cannot be read"),
        ("semicolons.csv", "depth;accuracy\n3;0.5\n", "not separated by commas"),
        ("longer.csv", "depth,accuracy\n3,0.5,\n4,0.6,\n", "more cells than its header"),
        ("broken.parquet", "PAR", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=said):
        read_population(str(path))


def test_both_directions_are_refused(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.to_csv(path, index=False)
    with pytest.raises(AnalysisError, match="not both"):
        read_population(str(path), ReadOptions(error="madds", score="accuracy"))


def test_codes_stay_text_and_nested_cells_do_no_harm(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(name=["000", "010", "100"]).to_csv(path, index=False)
    assert read_population(str(path)).table["name"].tolist() == ["000", "010", "100"]
    path = tmp_path / "networks.json"
    rows = [{"accuracy": 0.5, "x.widths": [8, 16]}, {"accuracy": 0.6, "x.widths": [16, 16]}]
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert read_population(str(path)).table["x.widths"].tolist() == ["[8, 16]", "[16, 16]"]


def test_a_users_own_columns_stay_his(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(error=[7.0, 5.0, 6.0]).to_csv(path, index=False)
    found = read_population(str(path), ReadOptions(score="accuracy", costs=("error",)))
    assert found.table["error"].tolist() == [7, 5, 6]
    assert found.errors.tolist() == pytest.approx([0.5, 0.25, 0.4])
    assert read_population(str(path)).label == "error, as given"  # no share, so not in percent


def test_what_is_no_accuracy_is_not_taken_for_one(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(loglik=[-3.0, -2.0, -2.5]).to_csv(path, index=False)
    found = read_population(str(path), ReadOptions(score="loglik"))
    assert found.label == "less loglik"
    assert found.errors.tolist() == [3, 2, 2.5]


def test_one_column_cannot_be_quality_and_cost(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(latency_ms=[1.0, 2.0, 3.0]).to_csv(path, index=False)
    with pytest.raises(AnalysisError, match="'accuracy' cannot be both"):
        read_population(str(path), ReadOptions(costs=("accuracy",)))
    found = read_population(str(path), ReadOptions(score="latency_ms"))
    assert found.objectives == {"latency_ms": "max", "madds": "min"}
    with pytest.raises(AnalysisError, match="must hold numbers"):
        read_population(str(path), ReadOptions(costs=("x.kernels",)))
    with pytest.raises(AnalysisError, match="--study chooses among"):
        read_population(str(path), ReadOptions(study="mine"))


@pytest.mark.parametrize(("cells", "kept"), [(["true", "no", ""], 1), ([1, 0, 1], 2)])
def test_limits_that_are_kept_are_told_in_several_ways(tmp_path, cells, kept):
    path = tmp_path / "networks.csv"
    ROWS.assign(within_limits=cells).to_csv(path, index=False)
    assert len(read_population(str(path)).admitted) == kept
    ROWS.assign(within_limits="perhaps").to_csv(path, index=False)
    with pytest.raises(AnalysisError, match="must hold true or false, not 'perhaps'"):
        read_population(str(path)).admitted  # noqa: B018


def run(scores=(0.5, 0.75, None)):
    trials = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["complete", "complete", "fail"],
            "accuracy": [0.5, 0.75, None],
            "score": scores,
            "latency_ms": [2.0, 3.0, None],
            "madds": [1e6, 2e6, 3e6],
            "x.depth": [1, 2, 3],
            "within_limits": [True, False, False],
        }
    )
    return Run(
        path=Path("runs/pets"),
        config={"data": "pets", "device": "cpu", "estimator": "zico", "limits": {"latency": "2ms"}},
        trials=with_scores(trials),
        references=pd.DataFrame({"name": ["mixnet_s"]}),
        retrained=pd.DataFrame(),
        conditions={},
        best="",
    )


def test_a_run_is_a_population_of_its_completed_trials():
    found = population_of(run())
    assert (found.name, found.label, found.seen, found.known) == ("pets", "error", 3, 2)
    assert found.errors.tolist() == [0.5, 0.25]
    assert found.objectives == {"score": "max", "latency_ms": "min"}
    assert found.variables == ("x.depth",)
    assert found.about == {"data": "pets", "device": "cpu", "estimator": "zico"}
    assert found.limits == {"latency": "2ms"}
    assert found.references["name"].tolist() == ["mixnet_s"]
    scored = population_of(run((50.0, 75.0, None)))
    assert scored.label == "less score of zico"
    assert scored.errors.tolist() == [-50, -75]


def test_the_errors_of_a_run_are_of_estimates_and_not_of_what_is_believed():
    believed = run()
    believed.trials["score"] += 0.1
    assert population_of(believed).errors.tolist() == [0.5, 0.25]


def test_a_run_may_be_read_by_other_columns():
    found = population_of(run(), ReadOptions(score="accuracy", costs=("madds",)))
    assert found.objectives == {"accuracy": "max", "madds": "min"}
    assert found.errors.tolist() == [0.5, 0.25]
    assert found.about == {"data": "pets", "device": "cpu", "estimator": "zico"}


def test_attempts_have_objectives_if_they_are_within_limits():
    attempts = population_of(run()).attempts
    assert attempts["number"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(attempts["score"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(attempts["latency_ms"], [2.0, np.nan, np.nan])
    assert attempts["madds"].tolist() == [1e6, 2e6, 3e6]  # which is no objective


def test_a_part_is_a_population_of_its_own():
    whole = population_of(run())
    part = whole.where("deep", whole.table["x.depth"] > 1)
    assert (part.name, part.seen, part.label) == ("deep", 1, "error")
    assert part.errors.tolist() == [0.25]
    assert whole.seen == 3


def test_names_are_unique(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.to_csv(path, index=False)
    one = read_population(str(path))
    names = [p.name for p in with_unique_names([one, replace(one, name="b"), one, one])]
    assert names == ["networks", "b", "networks #2", "networks #3"]
    names = [p.name for p in read_populations([str(path), str(path)])]
    assert names == [f"networks ({path})", f"networks ({path}) #2"]


def test_networks_are_called_by_name_number_or_row():
    table = pd.DataFrame({"name": ["mixnet_s"], "number": [3]}, index=[7])
    assert network_name(table.iloc[0]) == "mixnet_s"
    assert network_name(table[["number"]].iloc[0]) == "trial_3"
    assert network_name(table[[]].iloc[0]) == "row 7"


# -- scores and errors in one table -----------------------------------------------------------

BOTH = pd.DataFrame(
    {"score": [0.5, 0.75, 0.6], "error": [0.5, 0.25, 0.4], "latency_ms": [1.0, 2.0, 3.0]}
)


def front_of(path, **options):
    found = read_population(str(path), ReadOptions(**options))
    return pareto_front(found.admitted, found.objectives).rows.index.tolist()


def test_errors_and_scores_that_agree_have_the_same_front(tmp_path):
    path = tmp_path / "networks.csv"
    BOTH.to_csv(path, index=False)
    assert (
        front_of(path) == front_of(path, score="score") == front_of(path, error="error") == [0, 1]
    )
    assert read_population(str(path)).label == "error"


def test_errors_and_scores_that_disagree_need_a_choice(tmp_path):
    path = tmp_path / "networks.csv"
    BOTH.assign(error=[0.01, 0.02, 0.01]).to_csv(path, index=False)  # uncertainties of the scores
    with pytest.raises(
        AnalysisError,
        match="'error' and 'score' rank networks differently; choose one with --error error or "
        "--score score",
    ):
        read_population(str(path))
    assert front_of(path, score="score") == [0, 1]


@pytest.mark.parametrize("errors", [["", "out of memory", ""], [None] * 3])
def test_a_column_of_messages_is_no_error(tmp_path, errors):
    path = tmp_path / "networks.csv"
    BOTH.assign(error=errors).to_csv(path, index=False)
    found = read_population(str(path))
    assert found.objectives == {"score": "max", "latency_ms": "min"}
    assert front_of(path) == [0, 1]


def test_scores_of_a_run_are_shares_if_it_declares_so():
    declared = replace(run((0.5, 0.8, None)), conditions={"score_scale": {"is_accuracy": True}})
    assert declared.by_accuracy
    assert population_of(declared).shares == {"score"}
    chosen = population_of(declared, ReadOptions(score="score"))
    assert (chosen.label, chosen.shares) == ("error", {"score"})
    other = replace(declared, conditions={"score_scale": {"is_accuracy": False}})
    assert population_of(other).shares == frozenset()
    assert population_of(other, ReadOptions(score="score")).label == "less score"


def test_a_name_that_a_number_made_is_taken_only_once():
    populations = [replace(population_of(run()), name=name) for name in ("a", "a", "a #2", "a")]
    names = [population.name for population in with_unique_names(populations)]
    assert names == ["a", "a #2", "a #2 #2", "a #3"]


def test_names_of_trials_are_whole_numbers():
    rows = pd.DataFrame({"number": [3.0, 4.0], "accuracy": [0.5, 0.6]})
    assert [network_name(row) for _, row in rows.iterrows()] == ["trial_3", "trial_4"]


@pytest.mark.parametrize(("mix", "mean"), [("3.5.7", 5), ("²", None), ("9" * 5_000, None)])
def test_odd_kernel_mixes_are_missing(tmp_path, mix, mean):
    path = tmp_path / "networks.csv"
    BOTH.assign(**{"x.kernels": mix}).to_csv(path, index=False)
    found = read_population(str(path)).table["x.mean_kernel"]
    assert found.isna().all() if mean is None else (found == mean).all()
