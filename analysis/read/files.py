"""Reading tables from CSV, Parquet and JSON files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError

TEXTS = ("name", "spec_hash")
"""Columns that are read as text, since codes such as 00100 look like numbers."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file.

    Names and kernel mixes (``3.5``) are read as text even where they look like numbers.

    Raises:
        OSError, ValueError: If the file cannot be read, is not separated by commas, or its rows are
            longer than its header.
    """
    first = pd.read_csv(path, nrows=1)
    names = list(first.columns)
    if len(names) == 1 and any(mark in str(names[0]) for mark in ";\t"):
        raise ValueError("its columns are not separated by commas")
    if not isinstance(first.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    texts = {name: str for name in names if name.endswith("kernels") or name in TEXTS}
    return pd.read_csv(path, dtype=texts, index_col=False)


def read_file(path: Path) -> pd.DataFrame:
    """Read a table; JSON is a list of rows or a mapping from columns to lists.

    Raises:
        AnalysisError: If the file is of another type, cannot be read, or has no rows.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": read_table,
        ".parquet": pd.read_parquet,
        ".json": _read_json,
    }
    if path.suffix not in readers:
        raise AnalysisError(
            f"{path}: give a run directory, a table ({', '.join(readers)}) or the URL of an "
            "Optuna storage (sqlite:///study.db)"
        )
    try:
        table = readers[path.suffix](path)
    except FileNotFoundError:
        raise AnalysisError(f"{path}: no such file or directory") from None
    except (OSError, ValueError, TypeError) as error:
        raise AnalysisError(f"{path} cannot be read: {error}") from None
    if table.empty:
        raise AnalysisError(f"{path} has no rows")
    return table


def _read_json(path: Path) -> pd.DataFrame:
    """Read a JSON table; nested cells become JSON text, since lists cannot be compared."""
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(document)
    return table.map(lambda cell: json.dumps(cell) if isinstance(cell, list | dict) else cell)
