import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.read.runs import OBJECTIVES, Run, with_scores, within_limits
from analysis.report.data import judged_rows, packed, packed_json, page_data, plotly
from analysis.schema import RETRAINING_COLUMNS
from analysis.statistics.fronts import pareto_front


@pytest.fixture
def run():
    trials = pd.DataFrame(
        {
            "number": [0, 1, 2, 3],
            "state": ["complete", "complete", "complete", "fail"],
            "accuracy": [0.5, 0.6, 0.9, np.nan],
            "score": [0.5, 0.6, 0.9, np.nan],
            "latency_ms": [3.0, 2.0, 9.0, 1.0],
            "madds": [123456789.0, 1e8, np.inf, 1e8],
            "architecture": ["ir_k3_c8 | ir_k5_c16", "ir_k5_c16", np.nan, "ir_k9_c8"],
            "within_limits": [True, True, False, True],
        }
    )
    references = pd.DataFrame(
        {
            "name": ["m", "slow"],
            "score": [np.nan, 0.4],
            "accuracy": [np.nan, 0.4],
            "latency_ms": [2.5, np.nan],
        }
    )
    config = {"space": "s", "data": "d", "device": "x", "limits": {"latency": "1ms..8ms"}}
    return Run(
        path=Path("run"),
        config=config,
        trials=with_scores(trials),
        references=with_scores(references),
        retrained=pd.DataFrame(columns=RETRAINING_COLUMNS),
        conditions={},
        best="",
    )


@pytest.fixture
def front(run):
    return pareto_front(within_limits(run.completed), OBJECTIVES)


def test_networks_with_a_latency_are_grouped_the_fastest_first(run, front):
    rows = judged_rows(run, front)
    assert list(rows["name"]) == ["trial_1", "m", "trial_0", "trial_2"]
    assert list(rows["group"]) == ["front", "reference", "trial", "outside the limits"]


def test_data_are_columns_with_shared_blocks(run, front):
    data = page_data(run, judged_rows(run, front))
    assert data["group"] == [0, 2, 1, 3]
    assert data["blocks"] == ["ir_k5_c16", "ir_k3_c8"]
    assert data["networks"] == [[0], [], [1, -1, 0], []]
    assert data["madds"] == [1e8, None, 123460000.0, None]  # five digits; JSON has no infinity
    assert data["score"] == [0.6, None, 0.5, 0.9]
    assert data["params"] == [None] * 4
    assert data["limits"] == {"latency_ms": (1.0, 8.0)} or data["limits"] == {
        "latency_ms": [1.0, 8.0]
    }
    assert data["predicted"] == []


def test_a_run_without_networks_has_empty_columns(run):
    empty = Run(
        path=run.path,
        config=run.config,
        trials=run.trials.tail(1),
        references=run.references.head(0),
        retrained=run.retrained,
        conditions={},
        best="",
    )
    front = pareto_front(within_limits(empty.completed), OBJECTIVES)
    data = page_data(empty, judged_rows(empty, front))
    assert data["name"] == data["group"] == data["networks"] == data["blocks"] == []


def unpacked(text):
    return gzip.decompress(base64.b64decode(text)).decode("utf-8")


def test_what_is_packed_can_be_unpacked():
    assert unpacked(packed("a < ü")) == "a < ü"
    assert packed("a") == packed("a")  # no time stamp
    assert json.loads(unpacked(packed_json({"a": [1, None]}))) == {"a": [1, None]}
    with pytest.raises(ValueError, match="Out of range"):
        packed_json({"a": float("nan")})


def test_plotly_is_embedded():
    assert "plotly.js v" in unpacked(plotly())[:500]
