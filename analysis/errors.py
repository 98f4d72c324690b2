"""The exception for mistakes that users can correct, and checks of table columns that raise it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST = 10**12
"""Bound of the numbers of trials, seeds and images."""


class AnalysisError(Exception):
    """A mistake that the user can correct; the message says what is wrong and what to do."""


def check_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise an error unless a table has all the given columns.

    Raises:
        AnalysisError: If a column is missing; the message lists the existing ones.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise AnalysisError(
            f"the table has no column '{missing[0]}'; it has {', '.join(map(str, table.columns))}"
        )


def is_numeric(values: pd.Series) -> bool:
    """Return whether a column holds numbers; a column without any value counts as numeric."""
    return bool(pd.api.types.is_numeric_dtype(values) or values.isna().all())


def floats(values: pd.Series) -> NDArray[np.float64]:
    """Return a numeric column as floats, (rows,); NaN where a value is missing, such as `pd.NA`."""
    if not pd.api.types.is_numeric_dtype(values):  # a column without any value
        return np.full(len(values), np.nan)
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def are_whole(values: pd.Series, least: int = 0) -> bool:
    """Return whether a numeric column holds whole numbers of at least `least` in every row."""
    found = floats(values)
    return bool(((found >= least) & (found < MOST) & (np.floor(found) == found)).all())


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as an array of floats, (rows, columns); NaN where a value is missing.

    Raises:
        AnalysisError: If a column is missing or is not numeric.
    """
    check_columns(table, columns)
    for column in columns:
        if not is_numeric(table[column]):
            cells = table[column].dropna()
            texts = [cell for cell in cells if isinstance(cell, str)] or cells.tolist()
            raise AnalysisError(
                f"the column '{column}' must hold numbers, not text ('{str(texts[0])[:60]}')"
            )
    parts = [floats(table[column]) for column in columns]
    return np.column_stack(parts) if parts else np.empty((len(table), 0))
