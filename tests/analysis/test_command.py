"""``python -m analysis`` as a user runs it."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.analysis.searches import trials


@pytest.fixture
def searches(tmp_path):
    """Tables of three searches, each with a column of text."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        cost = rng.random(40)
        rows = pd.DataFrame(
            {
                "accuracy": 0.5 + 0.3 * cost + 0.05 * rng.standard_normal(40),
                "latency_ms": 1 + 9 * cost,
                "madds": 1e8 + 3e8 * cost,
                "x.depth": np.round(1 + 8 * cost),
                "origin": np.where(cost > 0.5, "deep", "shallow"),
                "architecture": np.where(cost > 0.5, "ir_k3_c8 | ir_k5_c16", "ir_k3_c8"),
            }
        )
        paths.append(tmp_path / f"seed{i}.csv")
        rows.to_csv(paths[-1], index=False)
    return paths


@pytest.fixture
def run_folder(tmp_path):
    """A run with three completed trials and a reference network."""
    path = tmp_path / "run"
    path.mkdir()
    rows = trials()
    rows.to_csv(path / "trials.csv", index=False)
    reference = rows.head(1).drop(columns="number").assign(name="mixnet_s", latency_ms=6.0)
    reference.to_csv(path / "references.csv", index=False)
    config = {"space": "s", "data": "d", "device": "x", "command": "c"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def succeeded(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def only_header(folder, name):
    path = folder / name
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")


def test_a_run_whose_tables_have_only_a_header_is_reported(command, run_folder):
    run = run_folder
    retraining = "name,kind,seed,validation,test,test_images,seconds,training\n"
    (run / "confirmed.csv").write_text(retraining, encoding="utf-8")
    only_header(run, "references.csv")
    data = json.loads(succeeded(command("analysis", "pareto", run, "--json")))
    assert data["n"] == 3
    succeeded(command("analysis", "report", run))
    only_header(run, "trials.csv")
    succeeded(command("analysis", "report", run))
    for name in ("pareto", "compare", "population"):
        result = command("analysis", name, run)
        assert result.returncode == 2
        assert result.stderr == (
            f"error: {run / 'trials.csv'} has no rows: no trial has ended yet, or they were lost, "
            f"and python -m nas.search --resume {run} writes them again\n"
        )


def test_compare_prints_json_and_writes_figures(command, searches, tmp_path):
    words = ("compare", *searches, "--json", "--out", tmp_path / "out")
    data = json.loads(succeeded(command("analysis", *words)))
    assert [search["name"] for search in data["searches"]] == ["seed0", "seed1", "seed2"]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    drawn = ("attainment", "fronts", "progress")
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")}


def test_pareto_shows_published_networks(command, searches):
    words = ("pareto", searches[0], "--against", "baselines", "--family", "MixNet")
    shown = succeeded(command("analysis", *words))
    assert "ImageNet accuracies" in shown
    assert "mixnet_s" in shown


def test_pareto_takes_the_columns_and_reference_point_given(command, searches):
    words = ("--error", "latency_ms", "--cost", "madds", "--reference", "latency_ms=20,madds=1e9")
    data = json.loads(succeeded(command("analysis", "pareto", searches[0], *words, "--json")))
    assert data["objectives"] == {"latency_ms": "min", "madds": "min"}
    assert data["reference_point"] == {"latency_ms": 20, "madds": 1e9}
    assert len(data["front"]) == 1  # the smallest network is the fastest one


def test_a_run_directory_has_its_references(command, run_folder):
    data = json.loads(succeeded(command("analysis", "pareto", run_folder, "--json")))
    assert [row["number"] for row in data["front"]] == [0, 1]
    assert data["n"] == 3
    assert "mixnet_s" in succeeded(command("analysis", "pareto", run_folder))


def test_names_are_text(command, searches):
    table = pd.read_csv(searches[0]).assign(name="net [/red] x")
    table.to_csv(searches[0], index=False)
    assert "net [/red] x" in succeeded(command("analysis", "pareto", searches[0]))


def test_population_splits_prints_and_draws(command, searches, tmp_path):
    out = tmp_path / "figures"
    words = ("--split", "origin", "--out", out)
    shown = succeeded(command("analysis", "population", searches[0], *words))
    assert "KS test, p = " in shown
    assert "origin deep" in shown
    assert "linear fit of latency by madds" in shown
    names = {file.name for file in out.iterdir()}
    assert {"edf.svg", "edf.png", "trends.svg", "variables_0.png", "kernels_1.svg"} <= names


def test_reports_of_several_runs(command, refused, run_folder):
    shown = succeeded(command("analysis", "report", run_folder, run_folder))
    assert shown == f"report: {run_folder / 'report.html'}\n" * 2
    words = ("report", run_folder, run_folder, "--watch")
    assert "--watch follows one run, not 2" in refused("analysis", *words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("pareto", "absent.csv"), "no such file"),
        (("report", "nothing"), "has no config.yaml"),
        (("pareto", "{table}", "--out", "{table}"), "File exists"),
        (("pareto", "{table}", "--reference", "accuracy"), "not part of a reference point"),
        (("population", "{table}", "--complexity", "origin"), "origin"),
        (("population", "{table}", "--out", "/proc/nothing/here"), "/proc/nothing"),
        (("population", "{table}", "--complexity", "flops"), "no column 'flops'"),
    ],
)
def test_mistakes_are_one_line(command, searches, words, text):
    result = command("analysis", *(word.format(table=searches[0]) for word in words))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


def test_options_are_checked(command, searches):
    result = command("analysis", "population", searches[0], "--seed", "-1")
    assert result.returncode == 2
    assert "--seed" in result.stderr
    assert "Traceback" not in result.stderr
