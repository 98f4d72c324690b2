import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from analysis.commands.population import as_json, figures, populations
from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions
from analysis.statistics.population_card import cards, ks_tests, latency_fits


@pytest.fixture
def networks():
    """Networks whose error falls with depth and does not depend on width."""
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 9, 200)
    kernels = rng.choice(["3", "3.5", "3.5.7"], 200)
    error = 0.5 - 0.04 * depth + 0.01 * rng.standard_normal(200)
    late = np.where(depth > 5, 9, 3)
    return pd.DataFrame(
        {
            "x.depth": depth,
            "x.width": rng.choice([16, 24, 32], 200),
            "x.s1.kernels": kernels,
            "x.op": rng.choice(["mbconv", "dsconv"], 200),
            "error": error,
            "madds": 1e7 * depth + 1e6 * rng.random(200),
            "latency_ms": 2.0 * depth + 0.1 * rng.random(200),
            "architecture": [
                f"ir_k{k}_c8 | ir_k{n}_c16" for k, n in zip(kernels, late, strict=True)
            ],
            "origin": np.where(depth > 4, "deep", "shallow"),
        }
    )


@pytest.fixture
def path(tmp_path, networks):
    file = tmp_path / "networks.csv"
    networks.to_csv(file, index=False)
    return str(file)


def test_the_variable_that_matters_is_found(path):
    (card,) = cards(populations([path], ReadOptions()))
    assert card.best["x.depth"].median == 8
    assert card.best["x.depth"].low >= 7
    told = card.importance.ped_anova
    assert max(told, key=told.get) == "x.depth"
    assert card.importance.permutation["x.width"][0] < 0.01
    assert set(card.choices) == {"x.op"}
    assert sum(card.choices["x.op"].values()) == pytest.approx(1)
    assert card.best["x.s1.mean_kernel"].low >= 3
    assert card.kernels.growth_interval[0] > 0


def test_populations_are_split_and_compared(path, networks):
    found = cards(populations([path], ReadOptions(), "origin"))
    assert [card.population.name for card in found] == ["origin deep", "origin shallow"]
    deep = networks.error[networks.origin == "deep"]
    wanted = ks_2samp(deep, networks.error[networks.origin != "deep"])
    assert ks_tests(found)["origin deep", "origin shallow"].statistic == wanted.statistic


def test_even_complexity_takes_the_range_in_common(path, networks):
    networks["half"] = np.where(np.arange(200) % 2, "one", "other")
    networks.to_csv(path, index=False)
    found = cards(populations([path], ReadOptions(), "half"), "madds")
    edges = found[0].normalisation.edges
    assert (edges == found[1].normalisation.edges).all()
    assert found[0].normalised.mean != found[0].edf.mean


def test_populations_that_share_no_complexity_are_refused(path):
    with pytest.raises(AnalysisError, match="no complexity in common"):
        cards(populations([path], ReadOptions(), "origin"), "madds")


def test_json_holds_no_nan(path, networks):
    networks.loc[0, "error"] = np.nan
    networks.to_csv(path, index=False)
    data = json.loads(as_json(cards(populations([path], ReadOptions()))))
    (card,) = data["populations"]
    assert card["edf"]["n"] == 199
    assert card["edf"]["dropped"] == 1
    assert card["seen"] == 200
    assert card["resamples"] == {"repeats": 10_000, "size": 49, "seed": 0}
    assert card["latency_fits"]["madds"]["r2"] > 0.99
    assert card["kernels"]["n"] == 199


def test_figures_are_drawn_for_what_is_there(path, networks):
    drawn = figures(cards(populations([path], ReadOptions()), "madds"))
    assert {"edf", "edf_normalised", "variables", "importance", "latency", "kernels"} <= set(drawn)
    assert "trends" not in drawn
    assert {"best_networks", "worst_networks", "mixconv_figure_1"} <= set(drawn)
    networks[["error", "x.depth"]].head(5).to_csv(path, index=False)
    assert set(figures(cards(populations([path], ReadOptions())))) == {
        "edf",
        "random_search",
        "variables",
    }


def test_two_of_the_same_name_are_told_apart(tmp_path, networks):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(str(tmp_path / folder / "networks.csv"))
        networks.to_csv(paths[-1], index=False)
    names = [population.name for population in populations(paths, ReadOptions())]
    assert names == [f"networks ({path})" for path in paths]


def test_parts_of_several_sources_keep_their_names(path, tmp_path, networks):
    other = tmp_path / "other.csv"
    networks.assign(origin=["deep", None] * 100).to_csv(other, index=False)
    found = cards(populations([path, str(other)], ReadOptions(), "origin"))
    names = [card.population.name for card in found]
    assert names == [
        "networks: origin deep", "networks: origin shallow",
        "other: origin deep", "other: origin none",
    ]  # fmt: skip
    assert len(ks_tests(found)) == 6
    assert sum(card.population.seen for card in found) == 400
    twice = [population.name for population in populations([path, path], ReadOptions())]
    assert len(set(twice)) == 2


def test_networks_without_an_error_fill_no_bin(tmp_path):
    rows = pd.DataFrame({"madds": [1e8] * 20 + [2e8] * 20, "error": [0.1] * 20 + [0.9] * 20})
    rows.loc[:9, "error"] = np.nan
    path = tmp_path / "half.csv"
    rows.to_csv(path, index=False)
    (card,) = cards(populations([str(path)], ReadOptions()), "madds")
    assert card.normalised.mean == pytest.approx(0.5)
    assert card.normalisation.counts.sum() == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seed", "-1"), "seed"),
        (("--complexity", "origin"), "wants numbers"),
        (("--out", "/proc/nothing/here"), "/proc/nothing"),
    ],
)
def test_mistakes_are_no_tracebacks(path, words, said):
    found = run(path, *words)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_odd_columns_stop_nothing(networks, tmp_path):
    path = tmp_path / "odd.csv"
    odd = networks.assign(activations=np.nan, params="many", latency_ms=[1.0, 2.0] + [np.inf] * 198)
    odd.loc[5, "architecture"] = None
    odd["architecture"] = odd["architecture"].str.replace("ir_k3_c8", "mine_k_c8")
    odd.to_csv(path, index=False)
    (card,) = cards(populations([str(path)], ReadOptions(variables=("x.depth", "x.depth"))))
    assert card.fits == {}
    assert card.kernels.n == 199
    assert card.importance.ped_anova == {"x.depth": 1.0}
    assert "params" not in card.best


def test_errors_of_different_kinds_are_not_compared(path, tmp_path, networks):
    other = tmp_path / "other.csv"
    networks.rename(columns={"error": "score"}).to_csv(other, index=False)
    with pytest.raises(AnalysisError, match="different kinds: error and less score"):
        populations([path, str(other)], ReadOptions())


def test_a_column_of_many_values_splits_nothing(path):
    with pytest.raises(AnalysisError, match="'madds' has 200 values"):
        populations([path], ReadOptions(), "madds")


def test_latency_is_not_fitted_without_networks(networks):
    assert latency_fits(networks.head(2)) == {}
    assert latency_fits(networks.drop(columns="latency_ms")) == {}
    assert set(latency_fits(networks)) == {"madds"}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "analysis", "population", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_and_draws(path, tmp_path):
    out = tmp_path / "figures"
    found = run(path, "--split", "origin", "--out", str(out))
    assert found.returncode == 0, found.stderr
    assert "KS test, p = " in found.stdout
    assert "origin deep" in found.stdout
    names = {file.name for file in out.iterdir()}
    assert {"edf.svg", "edf.png", "trends.svg", "variables_0.png", "kernels_1.svg"} <= names


def test_a_mistake_is_one_line(path):
    found = run(path, "--complexity", "flops")
    assert found.returncode == 2
    assert found.stderr.startswith("error: the table has no column 'flops'; it has")
    assert found.stderr.count("\n") == 1
