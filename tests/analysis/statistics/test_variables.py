"""Importance where it is known, and fits against numpy's and the published zoo of RegNets."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.statistics.variables import MOST, _codes, _levels, importance, linear_fit


def population(n=300, seed=0):
    """Networks whose error follows from depth, a little from kernels, and not from width."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "depth": rng.integers(1, 9, n),
            "kernels": rng.choice(["3", "3+5", "3+5+7"], n),
            "width": rng.integers(1, 9, n),
            "stem": 32,
        }
    )
    worse = 0.02 * (table["kernels"] == "3") + rng.normal(0, 0.005, n)
    return table.assign(error=0.5 / table["depth"] + worse)


NAMES = ["depth", "kernels", "width", "stem"]


def test_the_variables_that_matter_are_found():
    found = importance(population(), "error", NAMES)
    assert sum(found.ped_anova.values()) == pytest.approx(1)
    for figures in (found.ped_anova, {k: v[0] for k, v in found.permutation.items()}):
        assert list(figures) == NAMES
        assert figures["depth"] > figures["kernels"] > figures["width"]
        assert figures["stem"] == 0
    assert abs(found.permutation["width"][0]) < 0.01
    assert found.r2 > 0.9
    assert (found.n, found.dropped, found.seed) == (300, 0, 0)


def test_noise_of_many_values_is_of_no_importance():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"real": rng.integers(0, 2, 500), "noise": rng.random(500)})
    table["error"] = 0.1 * table["real"] + rng.normal(0, 0.05, 500)
    found = importance(table, "error", ["real", "noise"]).ped_anova
    assert found["noise"] < 0.1
    assert found["real"] > 0.9


def test_what_is_not_finite_is_left_out_and_one_value_is_no_importance():
    table = population(60)
    table.loc[[3, 4], "error"] = [math.nan, math.inf]
    found = importance(table, "error", ["stem"])
    assert (found.n, found.dropped) == (58, 2)
    assert (found.ped_anova, found.permutation) == ({"stem": 0.0}, {"stem": (0.0, 0.0)})
    assert importance(table, "error", NAMES) == importance(table, "error", NAMES)
    with pytest.raises(AnalysisError, match="no column 'height'; it has depth, kernels"):
        importance(table, "error", ["height"])
    with pytest.raises(
        AnalysisError, match="a finite error is known of 9 networks; importance needs 10"
    ):
        importance(population(9), "error", NAMES)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (pd.Series([math.nan, 3, 5]), [2, 3, 5]),  # a missing value ranks below
        (pd.Series([math.inf, 3, 5]), [2, 3, 5]),
        (pd.Series([pd.NA, 3, 5], dtype="Int64"), [2, 3, 5]),
        (pd.Series([pd.NA, pd.NA], dtype=object), [0, 0]),
        (pd.Series([None, None]), [0, 0]),
        (pd.Series([7.5, -2.0]), [7.5, -2.0]),
        (pd.Series(["b", None, "a", "b"]), [2, 0, 1, 2]),
        (pd.Series([True, False]), [1, 0]),
    ],
)
def test_values_become_codes(values, codes):
    assert _codes(values).tolist() == codes


def test_many_values_become_tenths():
    few = np.arange(10.0)
    assert _levels(few) is few
    assert _levels(np.arange(20.0)).tolist() == [i // 2 for i in range(20)]
    skewed = np.array([0.0] * 15 + list(range(1, 12)))
    assert sorted(set(_levels(skewed))) == [1, 2, 3, 4, 5]


def test_a_variable_without_any_value_stops_nothing():
    table = population(60).assign(late=pd.Series([pd.NA] * 60, dtype=object))
    found = importance(table, "error", ["depth", "late"])
    assert found.ped_anova == {"depth": 1.0, "late": 0.0}
    assert found.permutation["late"] == (0.0, 0.0)


def test_of_many_networks_a_thousand_are_used():
    found = importance(population(MOST + 1), "error", ["depth", "width"])
    assert (found.n, found.dropped) == (1_000, 0)
    assert importance(population(MOST), "error", ["depth"]).n == 1_000


# -- latency --------------------------------------------------------------------------------

# Flops (1e9), activations (1e6) and milliseconds of 64 images on a V100, of six published networks
# (pycls' model zoo): RegNetX-400MF, -1.6GF, -6.4GF, ResNet-50, EfficientNet-B0, -B5.
ZOO = pd.DataFrame(
    {
        "flops": [0.397678568, 1.602850792, 6.460292264, 4.089185256, 0.385825092, 10.27],
        "acts": [3.143272, 7.933512, 16.369744, 11.315688, 6.748036, 98.9],
        "ms": [15.4, 34.8, 95.1, 57.0, 31.0, 446.0],
    }
)


def test_activations_tell_what_flops_do_not():
    both, alone = (linear_fit(ZOO, "ms", names) for names in (["flops", "acts"], ["flops"]))
    assert both.r2 > 0.98 > alone.r2
    assert both.slopes["flops"] == pytest.approx(6.4, abs=3)
    assert both.slopes["acts"] == pytest.approx(3.8, abs=0.5)
    expected = np.polyfit(ZOO["flops"], ZOO["ms"], 1)
    assert [alone.slopes["flops"], alone.intercept] == pytest.approx(list(expected))
    assert both.predict(ZOO.iloc[3]) == pytest.approx(57, rel=0.25)


def test_a_sum_of_costs_is_found_again():
    rng = np.random.default_rng(0)
    costs = pd.DataFrame({"madds": rng.uniform(1e7, 4e8, 50), "acts": rng.uniform(1e5, 1e7, 50)})
    table = costs.assign(ms=0.3 + 1e-8 * costs["madds"] + 2e-7 * costs["acts"], idle=1.0)
    table.loc[7, "ms"] = math.nan
    found = linear_fit(table, "ms", ["madds", "acts"])
    assert found.intercept == pytest.approx(0.3)
    assert list(found.slopes.values()) == pytest.approx([1e-8, 2e-7])
    assert found.r2 == pytest.approx(1)
    assert found.median_error == pytest.approx(0, abs=1e-9)
    assert (found.n, found.dropped) == (49, 1)
    assert linear_fit(table, "idle", ["madds"]).r2 == 0
    with pytest.raises(AnalysisError, match="too few networks to fit ms by 1 cost: 2"):
        linear_fit(table.head(2), "ms", ["madds"])
    with pytest.raises(AnalysisError, match="no column 'flops'"):
        linear_fit(table, "ms", ["flops"])


def test_a_line_by_hand():
    """Latencies 1, 3, 2, 4 over costs 0, 1, 2, 3: slope 0.8, intercept 1.3."""
    rows = pd.DataFrame({"ms": [1.0, 3, 2, 4], "madds": [0.0, 1, 2, 3], "zero": 0.0})
    found = linear_fit(rows, "ms", ["madds"])
    assert (found.intercept, found.slopes["madds"]) == pytest.approx((1.3, 0.8))
    # Residuals -0.3, 0.9, -0.9, 0.3 have squares of 1.8 in sum; the latencies have 5.
    assert found.r2 == pytest.approx(1 - 1.8 / 5)
    # Relative errors 0.3, 0.3, 0.45, 0.075.
    assert found.median_error == pytest.approx(0.3)
    assert found.predict({"madds": 10}) == pytest.approx(9.3)
    assert (found.target, found.n, found.dropped) == ("ms", 4, 0)
    flat = linear_fit(rows, "ms", ["zero"])
    assert (flat.intercept, flat.slopes["zero"], flat.r2) == pytest.approx((2.5, 0, 0))
    assert linear_fit(rows.head(3), "ms", ["madds"]).n == 3


def test_numbers_that_a_forest_cannot_hold_are_cut():
    table = pd.DataFrame({"x": np.arange(30.0), "y": [1.0, 2.0] * 15, "error": np.arange(30.0)})
    table.loc[3, "x"] = 1e300
    table.loc[4, "error"], table.loc[5, "error"] = 1e308, -1e308
    found = importance(table, "error", ["x", "y"])
    assert all(np.isfinite(value) for pair in found.permutation.values() for value in pair)
