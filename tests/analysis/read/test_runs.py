"""Run directories: whole ones, those of earlier versions, and damaged ones."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.errors import AnalysisError
from analysis.read.runs import json_text, plain, read_run, within_limits
from analysis.schema import RETRAINING_COLUMNS

TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2],
        "state": ["complete", "fail", "complete"],
        "reason": ["", "out of memory", ""],
        "spec_hash": ["007", "a", "b"],
        "params": 1e6,
        "madds": 1e8,
        "accuracy": [0.5, None, 0.75],
        "latency_ms": [2.0, None, 3.0],
        "latency_p10_ms": 1.0,
        "latency_p90_ms": 4.0,
    }
)
CONFIG = {"space": "mixnet", "data": "digits", "device": "onnxruntime:cpu", "command": "search"}


@pytest.fixture
def folder(tmp_path):
    TRIALS.to_csv(tmp_path / "trials.csv", index=False)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return tmp_path


def write(folder, name, document):
    (folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")


def test_a_run_is_read_with_what_it_has(folder):
    run = read_run(folder)
    assert run.config == CONFIG
    assert run.trials["spec_hash"].tolist() == ["007", "a", "b"]
    assert run.completed["number"].tolist() == [0, 2]
    assert (len(run.references), len(run.retrained)) == (0, 0)
    assert tuple(run.retrained) == RETRAINING_COLUMNS
    assert (run.conditions, run.best, run.limits, run.bounds) == ({}, "", {}, {})


def test_scores_are_as_estimated_unless_a_column_says_otherwise(folder):
    run = read_run(folder)
    assert run.completed["raw_score"].tolist() == run.completed["score"].tolist() == [0.5, 0.75]
    assert not run.smoothed
    TRIALS.assign(score=[0.55, None, 0.75], raw_score=TRIALS["accuracy"]).to_csv(
        folder / "trials.csv", index=False
    )
    run = read_run(folder)
    assert run.completed["score"].tolist() == [0.55, 0.75]
    assert run.completed["raw_score"].tolist() == [0.5, 0.75]
    assert run.smoothed
    assert run.by_accuracy


def test_optional_files_are_read_if_they_are_there(folder):
    references = TRIALS.drop(columns="number").assign(name="mixnet_s", score=0.9).head(1)
    references.to_csv(folder / "references.csv", index=False)
    row = ["trial_2", "front", 0, 0.7, 0.8, 100, 1.5]
    pd.DataFrame([row], columns=RETRAINING_COLUMNS).to_csv(folder / "confirmed.csv", index=False)
    write(folder, "conditions.yaml", {"versions": {"torch": "2"}})
    write(folder, "best.yaml", {"name": "mixnet_trial_12"})
    write(folder, "config.yaml", {**CONFIG, "limits": {"latency": "8ms", "madds": "390M..400M"}})
    run = read_run(folder)
    assert run.references["name"].tolist() == ["mixnet_s"]
    assert run.references["score"].tolist() == [0.9]
    assert run.retrained.iloc[0].tolist() == row
    assert run.conditions == {"versions": {"torch": "2"}}
    assert run.best == "trial_12"
    assert run.limits == {"latency": "8ms", "madds": "390M..400M"}
    assert run.bounds == {"latency_ms": (None, 8.0), "madds": (3.9e8, 4e8)}


@pytest.mark.parametrize("document", [{"name": "mine"}, {}, ["a"], None])
def test_a_best_network_of_another_name_is_no_trial(folder, document):
    write(folder, "best.yaml", document)
    assert read_run(folder).best == ""


def test_scores_of_earlier_versions_were_accuracies(folder):
    run = read_run(folder)
    assert run.trials["score"].tolist() == pytest.approx([0.5, math.nan, 0.75], nan_ok=True)
    assert (run.by_accuracy, run.label) == (True, "validation accuracy")
    assert run.score_text(0.5) == "50.0%"
    TRIALS.assign(score=[50.0, None, 75.0]).to_csv(folder / "trials.csv", index=False)
    run = read_run(folder)
    assert (run.by_accuracy, run.label) == (False, "score of the estimator")
    assert run.score_text(0.5) == "0.5"
    write(folder, "config.yaml", {**CONFIG, "estimator": "naswot"})
    assert read_run(folder).label == "score of naswot"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (
            {"scores": {"resolution": 36}, "retraining": {"resolution": 64}},
            (" at 36 px", " at 64 px"),
        ),
        ({"scores": {"estimator": "table"}}, ("", "")),
        ({"scores": ["odd"], "retraining": {"resolution": "large"}}, ("", "")),
    ],
)
def test_the_side_of_the_images_stands_beside_scores(folder, conditions, expected):
    write(folder, "conditions.yaml", conditions)
    run = read_run(folder)
    assert (run.side_text("scores"), run.side_text("retraining")) == expected
    assert run.label == f"validation accuracy{expected[0]}"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.yaml", "3", r"config\.yaml is damaged: it must have the keys space, data, device"),
        ("config.yaml", "space: s", "it must have the keys space, data, device, command"),
        ("config.yaml", "a: [", "cannot be read: "),
        ("conditions.yaml", "[1]", r"conditions\.yaml is damaged: it is not a mapping"),
        ("trials.csv", "", "cannot be read: "),
        ("trials.csv", "number,state\n0,complete\n", r"trials\.csv is damaged: .* 'reason'"),
        ("references.csv", "name\nmixnet_s\n", r"references\.csv is damaged: .* column 'state'"),
        (
            "confirmed.csv",
            "name,kind\na,front\n",
            r"confirmed\.csv is damaged: .* column 'seconds'",
        ),
    ],
)
def test_damage_is_named(folder, file, text, message):
    (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=message):
        read_run(folder)


def test_tables_need_their_identifier_and_numbers(folder):
    TRIALS.drop(columns="number").to_csv(folder / "trials.csv", index=False)
    with pytest.raises(AnalysisError, match=r"trials\.csv is damaged: it has no column 'number'"):
        read_run(folder)
    TRIALS.drop(columns="number").head(0).to_csv(folder / "trials.csv", index=False)
    assert len(read_run(folder).trials) == 0  # a search that was stopped before its first trial
    TRIALS.assign(madds="many").to_csv(folder / "trials.csv", index=False)
    with pytest.raises(AnalysisError, match="the column 'madds' holds text"):
        read_run(folder)
    TRIALS.to_csv(folder / "trials.csv", index=False)
    TRIALS.drop(columns="number").to_csv(folder / "references.csv", index=False)
    with pytest.raises(AnalysisError, match=r"references\.csv is damaged: it has no column 'name'"):
        read_run(folder)


def test_what_is_no_run_directory_is_named(folder, tmp_path):
    with pytest.raises(AnalysisError, match=r"trials\.csv is a file, not a run directory"):
        read_run(folder / "trials.csv")
    with pytest.raises(
        AnalysisError, match=r"not a finished run directory: it has no config\.yaml"
    ):
        read_run(tmp_path / "absent")
    (folder / "trials.csv").unlink()
    with pytest.raises(AnalysisError, match=r"not a finished run directory: it has no trials\.csv"):
        read_run(folder)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ([True, False, True], [0, 2]),
        (["TRUE", " no", "yes "], [0, 2]),
        ([1.0, 0.0, None], [0]),
        (["false", "", "none"], []),
    ],
)
def test_networks_within_limits_are_kept(cells, kept):
    assert within_limits(TRIALS.assign(within_limits=cells))["number"].tolist() == kept


def test_tables_without_limits_are_kept_whole():
    assert within_limits(TRIALS) is TRIALS
    with pytest.raises(AnalysisError, match="'within_limits' must hold true or false, not '2'"):
        within_limits(TRIALS.assign(within_limits=[1, 2, 0]))


def test_json_holds_no_number_that_is_not_finite():
    data = {"a": (1, math.nan), "b": [{"c": -math.inf}], "d": "nan", "e": True}
    assert plain(data) == {"a": [1, None], "b": [{"c": None}], "d": "nan", "e": True}
    found = json.loads(json_text({"n": np.int64(3), "x": np.float32(math.nan), "p": {1}}))
    assert found == {"n": 3, "x": None, "p": "{1}"}


def test_a_head_start_of_retrained_networks_is_told(folder):
    write(folder, "conditions.yaml", {"retraining": {"resolution": 64}})
    assert read_run(folder).head_start == ""
    write(folder, "conditions.yaml", {"retraining": {"from": "supernet"}})
    assert "from random ones for networks that it has no weights of" in read_run(folder).head_start
    write(folder, "conditions.yaml", {"retraining": {"pretrained": "0123456789abcdef"}})
    assert "what each network shares with a pretrained one" in read_run(folder).head_start
