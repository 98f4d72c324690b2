"""Names and units on axes and in tables."""

import pandas as pd
import pytest

from analysis.schema import ERROR, NEGATED
from analysis.units import column_unit, error_unit, objective_unit, quality_unit, score_unit


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        (ERROR, ("error (%)", 100)),
        (f"{ERROR}, as given", ("error, as given", 1)),
        ("top5_error", ("top5_error", 1)),
        (f"{NEGATED}score of naswot", ("score of naswot", -1)),
    ],
)
def test_errors_are_shares_given_or_negated_scores(label, unit):
    assert error_unit(label) == unit


@pytest.mark.parametrize(
    ("label", "name", "error", "quality"),
    [
        (ERROR, "accuracy (%)", 0.25, 75),
        ("loss", "less loss", 0.25, -0.25),
        (f"{NEGATED}naswot", "naswot", -40, 40),
    ],
)
def test_quality_grows_as_errors_fall(label, name, error, quality):
    found, offset, factor = quality_unit(label)
    assert (found, offset + factor * error) == (name, quality)


def test_accuracies_are_in_percent():
    assert score_unit("validation accuracy") == ("validation accuracy (%)", 100)
    assert score_unit("score of zico") == ("score of zico", 1)


def test_columns_have_units():
    assert column_unit("madds") == ("MAdds (M)", 1e6)
    assert column_unit("latency_ms") == ("latency (ms)", 1)
    assert column_unit("x.s1.depth") == ("s1.depth", 1)
    assert column_unit("relax.x") == ("relax.x", 1)


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("accuracy", [0.0, 1.0], ("accuracy (%)", 100)),
        ("accuracy", [0.5, 1.01], ("accuracy", 1)),
        ("score", [-0.01, 0.5], ("score", 1)),
        ("top1", [0.5, 0.6], ("top1", 1)),
        ("madds", [1e6, 2e6], ("MAdds (M)", 1e-6)),
    ],
)
def test_objectives_are_in_percent_if_they_are_shares(name, values, unit):
    assert objective_unit(name, pd.Series(values)) == unit
