"""Reading tables from CSV, Parquet and JSON files."""

from __future__ import annotations

import decimal
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.document import check_regular, reason
from analysis.errors import AnalysisError
from analysis.printable import printable

TEXTS = ("name", "spec_hash")
"""Columns that are read as text, since codes such as 00100 look like numbers."""
LARGEST_INTEGER = 2**63 - 1
"""Largest integer of a cell; those beyond are read as floats."""
MOST_CELLS = 50_000_000
"""Number of cells of a Parquet file at most: a few hundred bytes can stand for billions."""
MOST_TEXT = 500_000_000
"""Bytes of text in a Parquet file at most: every row can repeat a long one."""
EMPTY_CELLS = 1_000_000
"""Number of cells of a CSV or JSON file that need no byte of their own."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file.

    Names and kernel mixes (``3.5``) are read as text even where they look like numbers.

    Raises:
        OSError, ValueError: If the file cannot be read, is not separated by commas, or its rows are
            longer than its header.
        AnalysisError: If it is not a regular file.
    """
    check_regular(path)
    first = pd.read_csv(path, nrows=1)
    names = list(first.columns)
    if len(names) == 1 and any(mark in str(names[0]) for mark in ";\t"):
        raise ValueError("its columns are not separated by commas")
    if not isinstance(first.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    with path.open("rb") as file:
        rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    _refuse_sparse(path, rows, len(names))
    texts = {name: str for name in names if name.endswith("kernels") or name in TEXTS}
    return clean_table(pd.read_csv(path, dtype=texts, index_col=False, low_memory=False))


def read_file(path: Path) -> pd.DataFrame:
    """Read a table; JSON is a list of rows or a mapping from columns to lists.

    Raises:
        AnalysisError: If the file is of another type, cannot be read, or has no rows.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": read_table,
        ".parquet": _read_parquet,
        ".json": _read_json,
    }
    if path.suffix not in readers:
        raise AnalysisError(
            f"{path}: give a run directory, a table ({', '.join(readers)}) or the URL of an "
            "Optuna storage (sqlite:///study.db)"
        )
    try:
        table = readers[path.suffix](path)
    except AnalysisError:
        raise
    except FileNotFoundError:
        raise AnalysisError(f"{path}: no such file or directory") from None
    except Exception as error:  # readers of damaged files raise whatever they come upon
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None
    if table.empty:
        raise AnalysisError(f"{path} has no rows")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_metadata, read_schema, read_table

    check_regular(path)
    metadata = read_metadata(path)
    rows, columns = metadata.num_rows, metadata.num_columns
    if rows * columns > MOST_CELLS:
        raise ValueError(
            f"it has {rows:,} rows of {columns:,} columns, and at most {MOST_CELLS:,} cells are "
            "read"
        )
    # Text is read once for all rows that repeat it, and counted before it is repeated in each.
    texts = [field.name for field in read_schema(path) if _is_text(field.type)]
    table = read_table(path, read_dictionary=texts)
    if sum(_text_bytes(table[name]) for name in texts) > MOST_TEXT:
        raise ValueError(f"its text has more than {MOST_TEXT:,} bytes")
    for name in texts:
        kind = table[name].type
        plain = table[name].cast(getattr(kind, "value_type", kind))
        table = table.set_column(table.column_names.index(name), name, plain)
    return clean_table(table.to_pandas())


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    checks = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(check(kind) for check in checks)


def _text_bytes(column: Any) -> int:
    """Return the number of bytes in the cells of a column of text."""
    from pyarrow import compute, types

    total = 0
    for chunk in column.chunks:
        lengths = compute.binary_length(
            chunk.dictionary if types.is_dictionary(chunk.type) else chunk
        )
        if types.is_dictionary(chunk.type):
            lengths = lengths.take(chunk.indices)
        total += compute.sum(lengths).as_py() or 0
    return total


def _read_json(path: Path) -> pd.DataFrame:
    check_regular(path)
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        _refuse_sparse(path, len(document), len({key for row in document for key in row}))
    return clean_table(pd.DataFrame(document))


def _refuse_sparse(path: Path, rows: int, columns: int) -> None:
    """Refuse a table of far more cells than its file has bytes.

    Raises:
        ValueError: If it is such a table.
    """
    if rows * columns > EMPTY_CELLS + path.stat().st_size:
        raise ValueError(
            f"it has {rows:,} rows of {columns:,} columns, nearly all of them empty; leave out "
            "what has no value"
        )


def clean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of numbers and printable text, whatever its cells were.

    Nested cells become JSON text, since lists cannot be compared; columns without any value become
    missing numbers.

    Raises:
        ValueError: If two columns have the same name.
    """
    names = [printable(str(name)) for name in table.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has two columns '{twice}'; rename one of them")
    table = table.set_axis(names, axis=1)
    cleaned = {name: _cleaned(table[name]) for name in names if _may_hold_text(table[name])}
    return table.assign(**cleaned)


def _may_hold_text(values: pd.Series) -> bool:
    kinds = pd.api.types
    return not (kinds.is_numeric_dtype(values) or kinds.is_datetime64_any_dtype(values))


def _cleaned(values: pd.Series) -> pd.Series:
    if values.isna().all():
        return pd.Series(np.nan, index=values.index)
    cells = values.tolist()
    found = [_cell(cell) for cell in cells]
    if all(one is other for one, other in zip(cells, found, strict=True)):
        return values
    return pd.Series(found, index=values.index, name=values.name)


def _cell(cell: Any) -> Any:
    """Return a cell as a number, a truth value or printable text; missing ones as they are."""
    if isinstance(cell, str):
        return printable(cell)
    if isinstance(cell, list | dict):
        return printable(json.dumps(cell, default=str))
    if isinstance(cell, decimal.Decimal):
        return float(cell)
    if isinstance(cell, int) and abs(cell) > LARGEST_INTEGER:
        return math.copysign(math.inf, cell) if abs(cell) > sys.float_info.max else float(cell)
    if cell is None or cell is pd.NA or isinstance(cell, bool | int | float | np.generic):
        return cell
    return cell if isinstance(cell, pd.Timestamp | pd.Timedelta) else printable(str(cell))
