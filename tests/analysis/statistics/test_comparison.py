"""Comparison of searches, from tables and run directories."""

import math

import moocore
import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.errors import AnalysisError
from analysis.read.population import read_populations
from analysis.statistics.comparison import compare, comparison_data, condition_mismatch
from tests.analysis.searches import searches, trials


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


def run_folder(path, data, device, accuracy=True, conditions=None):
    path.mkdir()
    scores = [0.5, 0.6, 0.7]
    rows = trials(
        accuracy=scores if accuracy else np.nan,
        score=scores if accuracy else [50.0, 60.0, 70.0],
        latency_ms=[1.0, 2.0, 3.0],
        latency_p90_ms=3.0,
    )
    rows.to_csv(path / "trials.csv", index=False)
    config = {"space": "s", "data": data, "device": device, "command": "c", "estimator": "naswot"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    if conditions is not None:
        (path / "conditions.yaml").write_text(yaml.safe_dump(conditions), encoding="utf-8")
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


# -- what makes runs incomparable -----------------------------------------------------------

SUPERNET = {"estimator": "supernet", "weights": "ab12", "seed": 0, "images": 200_000}
QUIET = {"device": "onnxruntime:cpu", "threads": 2, "machine": "a processor"}


@pytest.mark.parametrize(
    ("scores", "latencies", "caution"),
    [
        (SUPERNET, QUIET, ""),
        (
            {**SUPERNET, "weights": "cd34", "seed": 1},
            QUIET,
            "different scores: weights ab12 or cd34, seed 0 or 1",
        ),
        (SUPERNET, {**QUIET, "threads": 4}, "different latencies: threads 2 or 4"),
        (
            SUPERNET,
            {"device": "torch:cpu", "machine": "another", "threads": 4},
            "device onnxruntime:cpu or torch:cpu, machine a processor or another, threads 2 or 4",
        ),
        (
            {"estimator": "short", "width": 0.5},
            QUIET,
            "different scores: weights ab12 or none, estimator supernet or short, images 200000 or "
            "none and 2 more",
        ),
        ({**SUPERNET, "weights": "x" * 40}, QUIET, f"weights ab12 or {'x' * 24}..."),
        ("odd", None, ""),
    ],
)
def test_scores_of_other_weights_and_latencies_of_other_conditions_need_a_caution(
    tmp_path, scores, latencies, caution
):
    first = {"scores": SUPERNET, "latencies": QUIET}
    second = {"scores": scores, "latencies": latencies}
    paths = [
        run_folder(tmp_path / name, "digits", "onnxruntime:cpu", conditions=conditions)
        for name, conditions in (("a", first), ("b", second))
    ]
    populations = read_populations(paths)
    assert condition_mismatch(populations).endswith(caution)
    assert bool(condition_mismatch(populations)) is bool(caution)
    assert comparison_data(compare(populations))["mixed"] == condition_mismatch(populations)


def test_images_are_told_apart_by_their_content_where_it_is_known(tmp_path):
    def mismatch(*runs):
        paths = [
            run_folder(tmp_path / f"{name}{len(runs)}", data, "x", conditions=conditions)
            for name, data, conditions in runs
        ]
        return condition_mismatch(read_populations(paths))

    def known(content):
        return {"scores": {"data_fingerprint": content}}

    assert mismatch(("a", "/old/pets", known("ab12")), ("b", "pets", known("ab12"))) == ""
    several = [(name, name, known("ab12")) for name in "abc"]
    assert mismatch(*several, ("d", "d", None)) == "different data: a, b, c, d"
    changed = [(str(i), "pets", known(f"ab{i}")) for i in range(3)]
    assert mismatch(*changed) == "different scores: data_fingerprint ab0 or ab1 or ab2"


# -- fixed numbers --------------------------------------------------------------------------


def networks(tmp_path, name, rows):
    path = tmp_path / f"{name}.csv"
    pd.DataFrame(rows, columns=["accuracy", "latency_ms", "seconds"]).to_csv(path, index=False)
    return str(path)


def test_two_searches_by_hand(tmp_path):
    one = networks(tmp_path, "one", [(0.5, 1, 10), (0.4, 2, 10), (0.9, 3, 10)])
    two = networks(tmp_path, "two", [(0.7, 2, 5), (0.6, 4, None)])
    found = compare(read_populations([one, two]))
    # The worst accuracy is 0.4, the worst latency 4; a tenth of the range beyond.
    assert found.reference == pytest.approx({"accuracy": 0.35, "latency_ms": 4.3})
    first, second = found.searches
    assert first.front.hypervolume == pytest.approx(0.15 * 3.3 + 0.4 * 1.3)
    assert second.front.hypervolume == pytest.approx(0.35 * 2.3)
    assert first.progress.table["hypervolume"].tolist() == pytest.approx([0.495, 0.495, 1.015])
    assert first.progress.table["seconds"].tolist() == [10, 20, 30]
    assert second.progress.table["seconds"].tolist() == [5, 5]
    # All together: (0.5, 1), (0.7, 2), (0.9, 3), scaled to (0, 0), (0.5, 0.5), (1, 1).
    assert first.distance.epsilon == pytest.approx(0.5)
    assert first.distance.igd_plus == pytest.approx(0.5 / 3)
    assert second.distance.epsilon == pytest.approx(0.5)
    assert second.distance.igd_plus == pytest.approx((0.5 + 0 + 0.5) / 3)
    data = comparison_data(found)
    assert data["attainment"] is None
    assert data["searches"][0]["progress"] == {
        "evaluations": [1, 3],
        "hypervolume": pytest.approx([0.495, 1.015]),
        "seconds": [10, 30],
    }
    assert [(row["name"], row["n"], row["dropped"]) for row in data["searches"]] == [
        ("one", 3, 0), ("two", 2, 0),
    ]  # fmt: skip
    assert data["searches"][0]["front"] == [
        {"accuracy": 0.5, "latency_ms": 1}, {"accuracy": 0.9, "latency_ms": 3},
    ]  # fmt: skip
