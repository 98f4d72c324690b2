"""The exception for mistakes that users can correct, and checks of table columns that raise it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


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


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as an array of floats, (rows, columns); NaN where a value is missing.

    Raises:
        AnalysisError: If a column is missing or is not numeric.
    """
    check_columns(table, columns)
    for column in columns:
        if not is_numeric(table[column]):
            first = table[column].dropna().iloc[0]
            raise AnalysisError(f"the column '{column}' must hold numbers, not text ('{first}')")
    values = table[list(columns)].apply(pd.to_numeric)
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)
