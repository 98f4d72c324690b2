"""Names and units on axes and in tables."""

import math

import numpy as np
import pytest

import nas.units
from analysis.schema import ERROR, NEGATED
from analysis.units import (
    column_unit,
    differ,
    error_unit,
    format_count,
    number_of,
    objective_unit,
    quality_unit,
    score_text,
    score_unit,
    trial_name,
    value_text,
)


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
    assert score_unit("accuracy at 36 px", True) == ("accuracy at 36 px (%)", 100)
    assert score_unit("score of zico", False) == ("score of zico", 1)


def test_columns_have_units():
    assert column_unit("madds") == ("MAdds (M)", 1e6)
    assert column_unit("latency_ms") == ("latency (ms)", 1)
    assert column_unit("x.s1.depth") == ("s1.depth", 1)
    assert column_unit("relax.x") == ("relax.x", 1)


@pytest.mark.parametrize(
    ("name", "is_share", "unit"),
    [
        ("accuracy", True, ("accuracy (%)", 100)),
        ("accuracy", False, ("accuracy", 1)),
        ("error", True, ("error (%)", 100)),
        ("madds", False, ("MAdds (M)", 1e-6)),
    ],
)
def test_objectives_are_in_percent_if_they_are_shares(name, is_share, unit):
    assert objective_unit(name, is_share) == unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (462_770, "463k"),
        (999_600, "1M"),
        (999_400, "999k"),
        (4_130_000, "4.13M"),
        (339_000_000, "339M"),
        (1.25e9, "1.25G"),
        (999, "999"),
        (-20_000, "-20k"),
    ],
)
def test_counts_are_written_as_the_search_writes_them(value, text):
    assert format_count(value) == nas.units.format_count(value) == text


@pytest.mark.parametrize(
    ("name", "value", "is_share", "text"),
    [
        ("params", 462_770, False, "463k"),
        ("madds", np.float64(3.39e8), False, "339M"),
        ("latency_ms", 2.0049, False, "2.00"),
        ("score", 0.9528, True, "95.3%"),
        ("score", 0.9528, False, "0.9528"),
        ("score", None, True, "-"),
        ("params", math.nan, False, "-"),
        ("x.op", "mbconv", False, "mbconv"),
    ],
)
def test_a_column_is_written_in_one_way(name, value, is_share, text):
    assert value_text(name, value, is_share) == text


@pytest.mark.parametrize(
    ("score", "is_share", "text"),
    [
        (0.12345, True, "12.3%"),
        (0.12345, False, "0.1235"),
        (123456.0, False, "123k"),
        (9_999.0, False, "9999"),
        (10_000.0, False, "10k"),
        (None, True, "-"),
        (math.nan, False, "-"),
    ],
)
def test_scores_are_written(score, is_share, text):
    assert score_text(score, is_share) == text


def test_trials_are_named_by_whole_numbers():
    assert [trial_name(n) for n in (3, 3.0, np.int64(3), np.float64(3), "3")] == ["trial_3"] * 5


def test_one_thing_is_not_plural():
    assert number_of(1, "network") == "1 network"
    assert number_of(0, "network") == "0 networks"
    assert number_of(12_345, "class", "classes") == "12,345 classes"
    assert number_of(1, "class", "classes") == "1 class"


def test_a_score_differs_from_its_estimate_if_both_are_known():
    assert differ(0.9, 0.91)
    assert not differ(0.9, 0.9 + 1e-12)
    assert not any(differ(*pair) for pair in ((0.9, None), (None, 0.9), (math.nan, 0.9)))
