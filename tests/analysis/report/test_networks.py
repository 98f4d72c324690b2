import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.runs import OBJECTIVES, Run, with_scores
from analysis.report.data import judged_rows
from analysis.report.networks import shown_data, shown_networks, train_command, trial_command
from analysis.schema import BUILT_IN_DATA, RETRAINING_COLUMNS
from analysis.statistics.fronts import pareto_front
from nas.defaults import DATA_SETS


@pytest.fixture
def run(tmp_path):
    trials = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": "complete",
            "accuracy": [0.5, 0.9, 0.4],
            "score": [0.5, 0.9, 0.4],
            "raw_score": [0.45, 0.95, 0.4],
            "latency_ms": [2.0, 8.0, 9.0],
            "latency_source": ["predicted", "measured", "measured"],
            "madds": [1.2e8, np.inf, 1e8],
            "params": [1e6, np.nan, 1e6],
            "architecture": ["ir_k3_s1_e6_c8", np.nan, "ir_k3_s1_e6_c8"],
        }
    )
    references = pd.DataFrame(
        {
            "name": ["timm:x", "my nets/a.yaml"],
            "score": [np.nan, 0.4],
            "latency_ms": [2.5, 3.0],
            "madds": 1e8,
            "params": 1e6,
            "architecture": ["timm:x", "ir_k5_s1_e6_c8"],
        }
    )
    return Run(
        path=tmp_path / "my run",
        config={"space": "s", "data": "~/my pets", "device": "x"},
        trials=with_scores(trials),
        references=with_scores(references),
        retrained=pd.DataFrame(columns=RETRAINING_COLUMNS),
        conditions={"score_scale": {"is_accuracy": True}},
        best="",
    )


def shown(run):
    rows = judged_rows(run, pareto_front(run.completed, OBJECTIVES))
    return {each.name: each for each in shown_networks(run, rows)}


def test_front_and_references_are_shown_the_fastest_first(run):
    found = shown(run)
    assert list(found) == ["trial_0", "timm:x", "my nets/a.yaml", "trial_1"]
    assert [each.group for each in found.values()] == ["front", "reference", "reference", "front"]
    assert [each.index for each in found.values()] == [0, 1, 2, 3]
    first, last = found["trial_0"], found["trial_1"]
    assert (first.score, first.latency, first.madds, first.params, first.short) == (
        "50.0%", "2.00 (predicted)", "120M", "1M", "e6 k3 c8",
    )  # fmt: skip
    assert (first.raw, last.score, last.raw) == ("45.0%", "90.0%", "95.0%")
    assert (last.madds, last.params, last.short) == ("-", "-", "")
    assert (found["timm:x"].score, found["timm:x"].short) == ("-", "timm:x")


def test_commands_name_the_specs_of_the_run(run):
    for file in ("networks/trial_1.yaml", "references/a.yaml"):
        path = run.path / file
        path.parent.mkdir(parents=True)
        path.write_text("name: a", encoding="utf-8")
    found = shown(run)
    train = ["python", "-m", "nas.train"]
    assert shlex.split(found["trial_1"].command) == [
        *train, str(run.path / "networks" / "trial_1.yaml"), "--data", "~/my pets",
    ]  # fmt: skip
    assert shlex.split(found["my nets/a.yaml"].command)[3] == str(run.path / "references/a.yaml")
    # Those without a spec in the run directory are named, or their spec is written first.
    assert shlex.split(found["timm:x"].command) == [*train, "timm:x", "--data", "~/my pets"]
    assert found["trial_0"].command == "0".join(trial_command(run))
    assert shown_data(list(found.values()))["specs"] == {2: "name: a", 3: "name: a"}
    assert set(shown_data(list(found.values()))["commands"]) == {0, 1, 2, 3}


def test_any_trial_is_trained_by_its_number(run):
    plain = replace(run, path=Path("runs/pets"), config={**run.config, "data": "digits"})
    assert "17".join(trial_command(plain)) == (
        "python -m nas.space trial runs/pets 17 --out trial_17.yaml && "
        "python -m nas.train trial_17.yaml --data digits"
    )
    conditions = {"scores": {"resolution": 36}}
    small = replace(plain, conditions=conditions, config={**plain.config, "images_per_class": 9})
    assert "17".join(trial_command(small)).endswith("--images-per-class 9 --resolution 36")
    assert train_command(small, "mixnet_s") == (
        "python -m nas.train mixnet_s --data digits --images-per-class 9 --resolution 36"
    )
    assert BUILT_IN_DATA == DATA_SETS
    odd = "a b'; $(rm) \"#"
    words = shlex.split("3".join(trial_command(replace(run, config={**run.config, "data": odd}))))
    assert words[-1] == odd
    assert shlex.split(train_command(run, odd))[3] == odd


def test_a_damaged_spec_is_told(run):
    folder = run.path / "networks"
    folder.mkdir(parents=True)
    (folder / "trial_0.yaml").write_bytes(b"\xff")
    with pytest.raises(AnalysisError, match=r"trial_0.yaml cannot be read"):
        shown(run)


def test_a_run_without_references_shows_its_front(run):
    assert list(shown(replace(run, references=run.references.head(0)))) == ["trial_0", "trial_1"]
