"""The networks of a run in the compact form that the report's script reads."""

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import floats
from analysis.read.architectures import short_form
from analysis.read.population import network_name
from analysis.read.runs import Run, plain, within_limits
from analysis.schema import ARCHITECTURE, RAW_SCORE
from analysis.statistics.fronts import Front

NUMBERS = ("score", RAW_SCORE, "latency_ms", "latency_p10_ms", "latency_p90_ms", "madds", "params")
"""Numeric columns that the page shows."""
GROUPS = ("front", "trial", "reference", "outside the limits")
"""Groups of networks, in the order of the script's `GROUPS`."""
DIGITS = 5
"""Number of significant digits that are kept."""
STAGE = -1
"""Separator between the blocks of two stages."""


def page_data(run: Run, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the networks that have a latency, by column.

    Blocks are stored once, in the list ``blocks``, since many networks share them; an architecture
    is a list of positions in it.

    Args:
        run: The search.
        rows: Its networks; see `judged_rows`.
    """
    blocks: dict[str, int] = {}
    columns: dict[str, Any] = {
        name: [_rounded(value) for value in rows.get(name, pd.Series([None] * len(rows)))]
        for name in NUMBERS
    }
    lines = rows[ARCHITECTURE] if ARCHITECTURE in rows else [""] * len(rows)
    data = {
        "label": run.label,
        "percent": run.by_accuracy,
        "smoothed": run.smoothed,
        "limits": run.bounds,
        "name": [str(name) for name in rows["name"]],
        "group": [GROUPS.index(group) for group in rows["group"]],
        "predicted": [int(source == "predicted") for source in rows.get("latency_source", [])],
        **columns,
        "short": [short_name(line) for line in lines],
        "networks": [_block_numbers(line, blocks) for line in lines],
    }
    return dict(plain({**data, "blocks": list(blocks)}))


def short_name(line: Any) -> str:
    """Return the short form of an architecture in a table; empty if it was not recorded."""
    return short_form(line) if isinstance(line, str) else ""


def judged_rows(run: Run, front: Front) -> pd.DataFrame:
    """Return the trials and references that have a finite latency, the fastest first.

    The columns ``name`` and ``group`` are added; see `GROUPS`.
    """
    on_front = set(front.rows["number"]) if len(front.rows) else set()
    completed = run.completed
    within = set(within_limits(completed)["number"])
    trials = completed.assign(
        name=[network_name(row) for _, row in completed[["number"]].iterrows()],
        group=[
            "front" if number in on_front else "trial" if number in within else GROUPS[-1]
            for number in completed["number"]
        ],
    )
    parts = [trials, run.references.assign(group="reference")]
    rows = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else trials
    rows = rows[np.isfinite(floats(rows["latency_ms"]))]
    return rows.sort_values("latency_ms", kind="stable")


def _rounded(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(f"{value:.{DIGITS}g}")


def _block_numbers(line: Any, blocks: dict[str, int]) -> list[int]:
    """Return the positions of an architecture's blocks, adding new blocks to `blocks`."""
    if not isinstance(line, str) or not line:
        return []
    return [STAGE if word == "|" else blocks.setdefault(word, len(blocks)) for word in line.split()]


def packed(text: str) -> str:
    """Return text compressed with gzip and encoded in base64, as the page's script unpacks it."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def packed_json(data: Any) -> str:
    """Return data as packed JSON text; see `packed`."""
    return packed(json.dumps(data, separators=(",", ":"), allow_nan=False))


@lru_cache(maxsize=1)
def plotly() -> str:
    """Return plotly's script, packed; the page embeds it, since it must work offline."""
    file = resources.files("plotly").joinpath("package_data", "plotly.min.js")
    return packed(file.read_text(encoding="utf-8"))
