"""Comparison of searches, from tables and run directories."""

import math

import moocore
import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.errors import AnalysisError
from analysis.read.population import read_populations
from analysis.statistics.comparison import compare, comparison_data
from tests.analysis.searches import searches


def test_searches_share_a_reference_point(tmp_path):
    populations = read_populations(searches(tmp_path, 3))
    found = compare(populations)
    worst = [-found.reference["accuracy"], found.reference["latency_ms"]]
    for search, population in zip(found.searches, populations, strict=True):
        points = population.table[["accuracy", "latency_ms"]].to_numpy() * [-1, 1]
        assert search.front.hypervolume == pytest.approx(moocore.hypervolume(points, ref=worst))
        last = search.progress.table.iloc[-1]
        assert last.hypervolume == pytest.approx(search.front.hypervolume)
        assert last.seconds == 80
        assert search.distance.epsilon >= 0
    assert set(found.attained.surfaces) == {25, 50, 75}
    assert (found.attained.runs, found.attained.dropped) == (3, 0)
    assert compare(populations[:2]).attained is None


def test_the_best_of_all_is_at_no_distance(tmp_path):
    paths = searches(tmp_path, 1)
    worse = pd.read_csv(paths[0]).assign(accuracy=lambda rows: rows.accuracy - 0.2)
    worse.to_csv(tmp_path / "worse.csv", index=False)
    better, other = compare(read_populations([*paths, str(tmp_path / "worse.csv")])).searches
    assert better.distance.epsilon == better.distance.igd_plus == 0
    assert other.distance.epsilon > 0.3


def test_networks_beyond_the_limits_are_on_no_front(tmp_path):
    (path,) = searches(tmp_path, 1)
    rows = pd.read_csv(path)
    best = rows.accuracy.idxmax()
    rows.assign(within_limits=rows.index != best).to_csv(path, index=False)
    (search,) = compare(read_populations([path])).searches
    assert best not in search.front.rows.index
    assert search.front.n == 39


def test_what_fails_or_breaks_limits_takes_its_time(tmp_path):
    (path,) = searches(tmp_path, 1)
    rows = pd.read_csv(path)
    rows["within_limits"] = rows.index % 2 == 0
    rows.loc[3, ["accuracy", "seconds"]] = np.nan
    rows.to_csv(path, index=False)
    (search,) = compare(read_populations([path])).searches
    table = search.progress.table
    assert (len(table), search.progress.dropped) == (40, 20)
    assert table["seconds"].iloc[-1] == 78
    assert table["hypervolume"].iloc[-1] == pytest.approx(search.front.hypervolume)


def run_folder(path, data, device, accuracy=True):
    path.mkdir()
    scores = [0.5, 0.6, 0.7]
    rows = pd.DataFrame(
        {
            "number": range(3),
            "state": "complete",
            "reason": "",
            "spec_hash": "h",
            "params": 1e6,
            "madds": 1e8,
            "accuracy": scores if accuracy else np.nan,
            "score": scores if accuracy else [50.0, 60.0, 70.0],
            "latency_ms": [1.0, 2.0, 3.0],
            "latency_p10_ms": 1.0,
            "latency_p90_ms": 3.0,
        }
    )
    rows.to_csv(path / "trials.csv", index=False)
    config = {"space": "s", "data": data, "device": device, "command": "c", "estimator": "naswot"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def test_runs_of_other_kinds_are_told_apart(tmp_path):
    first = run_folder(tmp_path / "a", "digits", "onnxruntime:cpu")
    other = run_folder(tmp_path / "b", "pets", "onnxruntime:cpu")
    found = compare(read_populations([first, other]))
    assert comparison_data(found)["mixed"] == "different data: digits, pets"
    assert comparison_data(compare(read_populations([first])))["mixed"] == ""
    scores = run_folder(tmp_path / "c", "digits", "onnxruntime:cpu", accuracy=False)
    with pytest.raises(
        AnalysisError, match=r"a has error, c has score of naswot, which cannot be compared"
    ):
        compare(read_populations([first, scores]))


def test_other_objectives_are_not_compared(tmp_path):
    one, two = searches(tmp_path, 2)
    pd.read_csv(two).drop(columns="latency_ms").to_csv(two, index=False)
    with pytest.raises(AnalysisError, match=r"seed0 has the objectives .*seed1 has"):
        compare(read_populations([one, two]))


def test_a_search_without_networks_is_named(tmp_path):
    one, two = searches(tmp_path, 2)
    pd.read_csv(two).assign(latency_ms=np.nan).to_csv(two, index=False)
    with pytest.raises(AnalysisError, match="seed1 has no network with finite objectives"):
        compare(read_populations([one, two]))


def test_a_reference_point_lacking_an_objective_is_refused(tmp_path):
    populations = read_populations(searches(tmp_path, 1))
    with pytest.raises(AnalysisError, match="lacks latency_ms"):
        compare(populations, {"accuracy": 0.4})
    with pytest.raises(AnalysisError, match="'params' is not an objective"):
        compare(populations, {"accuracy": 0.4, "latency_ms": 9, "params": 1})
    with pytest.raises(AnalysisError, match="must be finite, but latency_ms is inf"):
        compare(populations, {"accuracy": 0.4, "latency_ms": math.inf})


def test_data_are_the_comparison(tmp_path):
    found = compare(read_populations(searches(tmp_path, 3)))
    data = comparison_data(found)
    assert data["reference_point"] == found.reference
    assert [len(s["front"]) for s in data["searches"]] == [
        len(s.front.rows) for s in found.searches
    ]
    assert set(data["attainment"]["surfaces"]) == {"25", "50", "75"}
