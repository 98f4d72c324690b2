"""The population card: its parts, and what is missing where data are."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions, read_population
from analysis.statistics.population_card import (
    card_data,
    cards,
    design_columns,
    ks_tests,
    latency_fits,
)


def networks(n=60):
    """Networks whose error falls with depth and does not depend on the operation."""
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 9, n)
    return pd.DataFrame(
        {
            "x.depth": depth,
            "x.op": rng.choice(["mbconv", "dsconv"], n),
            "x.stem": 32,
            "error": 0.5 - 0.04 * depth + 0.002 * rng.standard_normal(n),
            "madds": 1e7 * depth + 1e6 * rng.random(n),
            "latency_ms": 2.0 * depth,
            "architecture": [f"ir_k3_c8 | ir_k{3 if d < 5 else 7}_c16" for d in depth],
        }
    )


@pytest.fixture
def read(tmp_path):
    def call(table, name="networks", **options):
        path = tmp_path / f"{name}.csv"
        table.to_csv(path, index=False)
        return read_population(str(path), ReadOptions(**options))

    return call


def test_variables_that_differ_are_design_columns(read):
    # The stem is constant; multiply-adds are a complexity; latency is none.
    assert design_columns(read(networks())) == ["x.depth", "x.op", "madds"]
    assert design_columns(read(networks(), variables=("madds",))) == ["madds"]
    assert design_columns(read(networks().assign(madds="many"), costs=("latency_ms",))) == [
        "x.depth",
        "x.op",
    ]


def test_the_variable_that_matters_is_found(read):
    (card,) = cards([read(networks())])
    assert card.best["x.depth"].median == 8
    assert card.best["x.depth"].low >= 7
    assert max(card.importance.ped_anova, key=card.importance.ped_anova.get) == "x.depth"
    assert card.importance.ped_anova["x.stem"] == 0
    assert set(card.choices) == {"x.op"}
    assert sum(card.choices["x.op"].values()) == pytest.approx(1)
    assert card.kernels.growth_interval[0] > 0
    assert card.fits["madds"].r2 > 0.9
    assert (card.normalised, card.normalisation) == (None, None)


def test_populations_share_the_bins_of_complexity(read):
    table = networks()
    one = read(table[table["x.depth"] < 7], "one")
    other = read(table[table["x.depth"] > 2], "other")
    first, second = cards([one, other], "madds")
    edges = first.normalisation.edges
    assert edges.tolist() == second.normalisation.edges.tolist()
    assert len(edges) == 11
    assert edges[0] == other.table["madds"].min()
    assert edges[-1] == one.table["madds"].max()
    assert first.normalisation.outside == (one.table["madds"] < edges[0]).sum() > 0
    with pytest.raises(AnalysisError, match="no complexity in common"):
        cards([one, read(table.assign(madds=table["madds"] + 1e9), "third")], "madds")
    with pytest.raises(AnalysisError, match="'architecture' must hold numbers"):
        cards([one], "architecture")


def test_networks_without_an_error_fill_no_bin(read):
    rows = pd.DataFrame({"madds": [1e8] * 20 + [2e8] * 20, "error": [0.1] * 20 + [0.9] * 20})
    rows.loc[:9, "error"] = np.nan
    (card,) = cards([read(rows)], "madds")
    assert card.normalised.mean == pytest.approx(0.5)
    assert card.edf.mean == pytest.approx((10 * 0.1 + 20 * 0.9) / 30)
    assert card.normalisation.counts.sum() == 30


def test_each_pair_is_compared_once(read):
    table = networks()
    parts = [table[table["x.depth"] % 3 == rest] for rest in range(3)]
    found = ks_tests(cards([read(part, str(i)) for i, part in enumerate(parts)]))
    assert list(found) == [("0", "1"), ("0", "2"), ("1", "2")]
    expected = ks_2samp(parts[0]["error"], parts[2]["error"])
    assert found["0", "2"].statistic == expected.statistic


def test_few_networks_have_neither_importance_nor_kernels(read):
    table = networks()
    assert cards([read(table.head(10))])[0].importance.n == 10
    (card,) = cards([read(table.head(9))])
    assert (card.importance, card.kernels) == (None, None)
    without = table.drop(columns=["x.depth", "x.op", "x.stem", "architecture"])
    (card,) = cards([read(without)])
    assert (card.importance, card.kernels) == (None, None)


def test_odd_columns_stop_nothing(read):
    table = networks().assign(
        activations=np.nan, params="many", latency_ms=[1.0, 2.0] + [np.inf] * 58
    )
    table.loc[5, "architecture"] = None
    table["architecture"] = table["architecture"].str.replace("ir_k3_c8", "mine_k_c8")
    (card,) = cards([read(table, variables=("x.depth", "x.depth"))])
    assert card.fits == {}
    assert card.kernels.n == 59
    assert card.importance.ped_anova == {"x.depth": 1.0}
    assert "params" not in card.best


def test_a_variable_that_no_winner_has_is_left_out(read):
    table = networks().sort_values("error", ignore_index=True)
    table["x.late"] = [np.nan] * 50 + list(range(10))
    (card,) = cards([read(table)])
    assert card.left_out == ("x.late",)
    assert "x.late" not in card.best


def test_latency_is_fitted_by_what_there_is():
    table = networks()
    assert latency_fits(table.head(2)) == {}
    assert set(latency_fits(table.head(3))) == {"madds"}
    assert latency_fits(table.drop(columns="latency_ms")) == {}
    assert latency_fits(table.assign(latency_ms="fast")) == {}
    assert latency_fits(table.drop(columns="madds")) == {}
    both = table.assign(activations=range(60))
    assert list(latency_fits(both)) == ["madds", "activations", "madds + activations"]


def test_data_hold_summaries(read):
    table = networks(100)
    table["error"] = np.linspace(0.01, 1.0, 100)
    table.loc[0, "error"] = math.nan
    (card,) = cards([read(table)], "madds")
    data = card_data(card)
    # 99 errors from 0.02 to 1: the median is the 50th.
    assert data["edf"]["quantiles"]["0.5"] == pytest.approx(0.51)
    assert data["edf"]["quantiles"]["0.01"] == pytest.approx(0.02)
    assert (data["edf"]["n"], data["edf"]["dropped"], data["seen"]) == (99, 1, 100)
    assert data["edf"]["mean"] == pytest.approx(0.51)
    assert data["resamples"] == {"repeats": 10_000, "size": 24, "seed": 0}
    assert sum(data["normalised_edf"]["counts"]) + data["normalised_edf"]["outside"] == 100
    assert [row["stage"] for row in data["kernels"]["stages"]] == [1, 2]
    assert list(data["kernels"]["stages"][1]["shares"]) == ["3", "7"]
    assert (data["name"], data["error"]) == ("networks", "error")
    assert card_data(cards([read(table.drop(columns="architecture"))])[0])["kernels"] is None


# -- fixed numbers --------------------------------------------------------------------------


def test_quantiles_are_the_first_errors_that_so_many_networks_reach(read):
    rows = pd.DataFrame({"error": [0.5, 0.1, 0.4, 0.2, 0.3], "madds": [1, 2, 3, 4, 11]})
    (card,) = cards([read(rows)], "madds")
    found = card_data(card)
    assert found["edf"]["quantiles"] == {
        "0.01": 0.1, "0.05": 0.1, "0.1": 0.1, "0.25": 0.2, "0.5": 0.3, "0.75": 0.4, "0.9": 0.5,
    }  # fmt: skip
    assert (found["edf"]["best"], found["edf"]["level"]) == (0.1, 0.95)
    assert found["edf"]["mean"] == pytest.approx(0.3)
    assert found["edf"]["effective_n"] == pytest.approx(5)
    # Bins of one: 1, 2, 3, 4 and 11 are in the first four bins and the last one.
    even = found["normalised_edf"]
    assert even["edges"] == pytest.approx(list(range(1, 12)))
    assert even["counts"] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    assert (even["empty_bins"], even["outside"]) == (5, 0)
    assert even["mean"] == pytest.approx(0.3)
    search = found["random_search"]
    assert (search["sizes"], search["mean"][0], search["level"]) == ([1, 2, 4], 0.3, 0.95)
    # The best of two: 0.1 with 9/25, then 7/25, 5/25, 3/25, 1/25.
    assert search["mean"][1] == pytest.approx((0.9 + 1.4 + 1.5 + 1.2 + 0.5) / 25)
    assert found["importance"] is None
    assert found["latency_fits"] == {}
    assert found["best_values"]["madds"]["n"] == 5
    assert found["without_best"] == []


def test_variables_with_one_value_are_no_design_columns(read):
    table = networks().assign(params=1e6, activations=range(60))
    assert design_columns(read(table)) == ["x.depth", "x.op", "madds", "activations"]


@pytest.mark.parametrize(("n", "costs"), [(2, set()), (3, {"madds", "activations"})])
def test_a_fit_needs_two_networks_more_than_costs(n, costs):
    table = networks().head(n).assign(activations=[1.0, 3.0, 2.0][:n])
    assert set(latency_fits(table)) == costs
    assert len(latency_fits(networks().head(4).assign(activations=[1.0, 3, 2, 5]))) == 3


def test_a_column_without_any_value_is_left_out(read):
    table = networks()
    (card,) = cards([read(table)])
    found = read(table)
    late = found.table.assign(late=pd.Series([pd.NA] * 60, dtype=object))
    (other,) = cards([replace(found, table=late, variables=(*found.variables, "late"))])
    assert other.importance.ped_anova["late"] == 0
    assert "late" not in other.best
    assert other.best == card.best


def test_kernels_are_told_of_ten_networks_with_an_error(read):
    table = networks(12)
    table.loc[:1, "error"] = np.nan
    assert cards([read(table)])[0].kernels.n == 10
    table.loc[:2, "error"] = np.nan
    assert cards([read(table)])[0].kernels is None
