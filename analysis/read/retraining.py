"""The retraining results of a run: ``confirmed.csv``, and ``test_hits.json`` beside it.

The second file says which test images each training run classified correctly, one bit per image, so
that two networks can be compared image by image. Runs of earlier versions do not have it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.document import read_json, reason
from analysis.errors import AnalysisError, are_whole, is_numeric
from analysis.read.files import read_table
from analysis.schema import HITS, KINDS, RETRAINING_COLUMNS

RESULTS_FILE = "confirmed.csv"
HITS_FILE = "test_hits.json"
MOST_HITS_BYTES = 64_000_000
"""Largest size of ``test_hits.json``, in bytes: 360 training runs on a million test images."""
TRAINING = "training"
"""Column that identifies how a network was retrained, in tables of versions that record it."""
_NUMBERS = ("seed", "validation", "test", "test_images", "seconds")
_DIGEST = re.compile("[A-Za-z0-9]{1,40}")
_TOLERANCE = 1e-4
"""Difference between a recorded accuracy and the share of hits that rounding explains."""

Hits = NDArray[np.bool_]
"""Whether each test image was classified correctly, (images,)."""


def read_retraining(folder: Path) -> pd.DataFrame:
    """Read the retraining results of a run directory, one row per training run.

    Returns:
        A table with `RETRAINING_COLUMNS`; empty if nothing was retrained. If hits are recorded, it
        has the column `HITS`, which is None for a training run without them.

    Raises:
        AnalysisError: If one of the files is damaged.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        return pd.DataFrame(columns=RETRAINING_COLUMNS)
    try:
        table = read_table(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None
    check_retraining(table, path)
    found = _read_hits(folder / HITS_FILE)
    if not found:
        return table
    hits = [_hits_of(row, found) for row in table.to_dict("records")]
    return table.assign(**{HITS: pd.Series(hits, dtype=object)})


def check_retraining(table: pd.DataFrame, path: Path) -> None:
    """Check a table of retraining results.

    Raises:
        AnalysisError: If a column is missing, or holds what it cannot.
    """
    missing = set(RETRAINING_COLUMNS) - set(table.columns)
    if missing:
        raise AnalysisError(f"{path} is damaged: it has no column '{min(missing)}'")
    for column in _NUMBERS:
        if not is_numeric(table[column]):
            raise AnalysisError(f"{path} is damaged: the column '{column}' holds text")
    if table["name"].isna().any():
        raise AnalysisError(f"{path} is damaged: a row has no name")
    if not table["kind"].isin(KINDS).all():
        raise AnalysisError(f"{path} is damaged: the column 'kind' must hold {' or '.join(KINDS)}")
    if TRAINING in table and not table[TRAINING].dropna().astype(str).map(_is_digest).all():
        raise AnalysisError(f"{path} is damaged: the column '{TRAINING}' must hold digests")
    for column in ("validation", "test"):
        known = table[column].dropna()
        if not known.between(0, 1).all():
            raise AnalysisError(f"{path} is damaged: '{column}' must hold shares from 0 to 1")
    for column, least in (("seed", 0), ("test_images", 1)):
        if not are_whole(table[column], least):
            raise AnalysisError(
                f"{path} is damaged: '{column}' must hold whole numbers of at least {least}"
            )


def _is_digest(text: str) -> bool:
    """Return whether a text is a digest; names of files are made of them."""
    return _DIGEST.fullmatch(text) is not None


def hits_document(rows: Iterable[dict[str, Any]]) -> str:
    """Return the hits of training runs as the text of ``test_hits.json``.

    Args:
        rows: Training runs in the columns of the table; those without hits are left out.
    """
    runs = [
        {
            **{key: row[key] for key in ("name", "kind", "seed", TRAINING)},
            "images": len(row[HITS]),
            "hits": base64.b64encode(np.packbits(row[HITS]).tobytes()).decode("ascii"),
        }
        for row in rows
        if isinstance(row.get(HITS), np.ndarray)
    ]
    return json.dumps({"runs": runs}, default=int)


def _read_hits(path: Path) -> dict[tuple[str, str, int, str], Hits]:
    """Return hits by name, kind, seed and training; empty if there is no such file."""
    if not path.is_file():
        return {}
    document = read_json(path, MOST_HITS_BYTES)
    try:
        return {
            (str(run["name"]), str(run["kind"]), int(run["seed"]), str(run[TRAINING])): _unpacked(
                run["hits"], run["images"]
            )
            for run in document["runs"]
        }
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        what = f"no '{error.args[0]}'" if isinstance(error, KeyError) else reason(error)
        raise AnalysisError(
            f"{path} is damaged: {what}; remove it to compare networks without it"
        ) from None


def _unpacked(text: str, images: int) -> Hits:
    data = base64.b64decode(text, validate=True)
    if not isinstance(images, int) or len(data) != -(-images // 8) or images < 1:
        raise ValueError(f"{len(data)} bytes are not the bits of {images} images")
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=images).astype(bool)


def _hits_of(row: dict[Any, Any], found: dict[tuple[str, str, int, str], Hits]) -> Hits | None:
    """Return the hits of a training run; None if they are not those that its row tells of."""
    key = (str(row["name"]), str(row["kind"]), int(row["seed"]), str(row.get(TRAINING, "")))
    hits = found.get(key)
    if hits is None or len(hits) != row["test_images"]:
        return None
    same = abs(float(hits.mean()) - float(row["test"])) <= _TOLERANCE
    return hits if same else None
