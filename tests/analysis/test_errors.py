"""Checks of columns."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.errors import (
    AnalysisError,
    are_whole,
    check_columns,
    floats,
    is_numeric,
    numbers,
)

TABLE = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "text": ["x", None], "none": [None, None]})


def test_the_first_missing_column_is_named_with_those_there_are():
    check_columns(TABLE, ["a", "text"])
    check_columns(TABLE, [])
    with pytest.raises(AnalysisError, match=r"no column 'c'; it has a, b, text, none$"):
        check_columns(TABLE, ["a", "c", "d"])


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        ([1, 2], True),
        ([1.5, None], True),
        ([True, False], True),
        ([None, None], True),
        ([], True),
        (["1", "2"], False),
        (["x", None], False),
    ],
)
def test_numeric_columns_are_told_from_text(values, numeric):
    assert is_numeric(pd.Series(values, dtype=None if values else object)) is numeric


def test_columns_become_floats_in_the_order_asked_for():
    found = numbers(TABLE, ["none", "a", "b"])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[math.nan, 1, 0.5], [math.nan, 2, math.nan]])
    nullable = pd.DataFrame({"i": pd.array([3, pd.NA], dtype="Int64")})
    np.testing.assert_array_equal(numbers(nullable, ["i"]), [[3], [math.nan]])
    assert numbers(TABLE.head(0), ["a"]).shape == (0, 1)


def test_text_is_refused_with_an_example():
    table = pd.DataFrame({"a": [None, "high", "low"]})
    with pytest.raises(AnalysisError, match=r"'a' must hold numbers, not text \('high'\)"):
        numbers(table, ["a"])
    with pytest.raises(AnalysisError, match="no column 'b'"):
        numbers(table, ["b"])


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ([0, 3, 10**11], True),
        ([0.0, 3.0], True),
        ([0.5], False),
        ([-1], False),
        ([math.nan], False),
        ([math.inf], False),
        ([10**12], False),
        ([None, None], False),
    ],
)
def test_whole_numbers_are_told_from_others(values, whole):
    assert are_whole(pd.Series(values)) is whole
    assert not are_whole(pd.Series([2, 3]), least=3)


@pytest.mark.parametrize("dtype", [object, "Int64", "Float64", "string"])
def test_columns_of_missing_values_are_missing_numbers(dtype):
    values = pd.Series([pd.NA, pd.NA], dtype=dtype)
    assert is_numeric(values)
    assert np.isnan(floats(values)).all()
    assert np.isnan(numbers(pd.DataFrame({"a": values}), ["a"])).all()
