"""The error a user can cause."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class AnalysisError(Exception):
    """Something the user can mend: its text says what was wrong and what to do."""


def check_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        AnalysisError: with the columns that there are.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise AnalysisError(
            f"the table has no column '{missing[0]}'; it has {', '.join(map(str, table.columns))}"
        )


def is_numeric(values: pd.Series) -> bool:
    """Whether a column holds numbers; one without any value does."""
    return bool(pd.api.types.is_numeric_dtype(values) or values.isna().all())


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as numbers, (rows, columns); NaN where there is none.

    Raises:
        AnalysisError: when a column is missing, or holds something else.
    """
    check_columns(table, columns)
    for column in columns:
        if not is_numeric(table[column]):
            first = table[column].dropna().iloc[0]
            raise AnalysisError(f"the column '{column}' holds text ('{first}'); it wants numbers")
    found = table[list(columns)].apply(pd.to_numeric)
    return np.asarray(found.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)
