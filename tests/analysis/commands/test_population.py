import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from analysis.commands.population import as_json, populations
from analysis.errors import AnalysisError
from analysis.figures.population import population_figures
from analysis.read.population import ReadOptions
from analysis.statistics.population_card import cards, ks_tests


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
    drawn = population_figures(cards(populations([path], ReadOptions()), "madds"))
    assert {"edf", "edf_normalised", "variables", "importance", "latency", "kernels"} <= set(drawn)
    assert "trends" not in drawn
    assert {"best_networks", "worst_networks", "mixconv_figure_1"} <= set(drawn)
    networks[["error", "x.depth"]].head(5).to_csv(path, index=False)
    assert set(population_figures(cards(populations([path], ReadOptions())))) == {
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


def test_errors_of_different_kinds_are_not_compared(path, tmp_path, networks):
    other = tmp_path / "other.csv"
    networks.rename(columns={"error": "score"}).to_csv(other, index=False)
    with pytest.raises(AnalysisError, match="different kinds: error and less score"):
        populations([path, str(other)], ReadOptions())


def test_a_column_of_many_values_splits_nothing(path):
    with pytest.raises(AnalysisError, match="'madds' has 200 values"):
        populations([path], ReadOptions(), "madds")
