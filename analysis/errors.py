"""The error a user can cause."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


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
