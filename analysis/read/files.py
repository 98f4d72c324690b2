"""Tables from files: CSV, Parquet, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError

TEXTS = ("name", "spec_hash")
"""Columns that stay text, though codes such as 00100 look like numbers."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV; mixes of kernels (``3.5``) and names stay text, though some look like numbers.

    Raises:
        OSError, ValueError: when it cannot be read, or its rows are longer than its header.
    """
    first = pd.read_csv(path, nrows=1)
    names = list(first.columns)
    if len(names) == 1 and any(mark in str(names[0]) for mark in ";\t"):
        raise ValueError("its columns are not parted by commas")
    if not isinstance(first.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    texts = {name: str for name in names if name.endswith("kernels") or name in TEXTS}
    return pd.read_csv(path, dtype=texts, index_col=False)


def read_file(path: Path) -> pd.DataFrame:
    """Read a table; JSON is a list of rows, or columns of lists.

    Raises:
        AnalysisError: when it cannot be read, or has no rows.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": read_table,
        ".parquet": pd.read_parquet,
        ".json": _json,
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
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise AnalysisError(f"{path} has two columns '{twice}'")
    return table


def _json(path: Path) -> pd.DataFrame:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(document)
    return table.map(lambda cell: json.dumps(cell) if isinstance(cell, list | dict) else cell)
