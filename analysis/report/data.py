"""A run's networks as the report's page takes them: few bytes a network."""

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache
from importlib import resources
from typing import Any

import pandas as pd

from analysis.read.population import network_name
from analysis.read.runs import Run, plain, within_limits
from analysis.schema import ARCHITECTURE
from analysis.statistics.fronts import Front

NUMBERS = ("score", "latency_ms", "latency_p10_ms", "latency_p90_ms", "madds", "params")
GROUPS = ("front", "trial", "reference", "beyond the limits")
DIGITS = 5  # that a number keeps
STAGE = -1  # stands between the blocks of two stages


def page_data(run: Run, front: Front) -> dict[str, Any]:
    """Return the networks that have a latency, by columns.

    Architectures are numbers of blocks that stand in one list, since many networks share them.
    """
    rows = judged_rows(run, front)
    blocks: dict[str, int] = {}
    columns: dict[str, Any] = {
        name: [_short(value) for value in rows.get(name, pd.Series([None] * len(rows)))]
        for name in NUMBERS
    }
    lines = rows[ARCHITECTURE] if ARCHITECTURE in rows else [""] * len(rows)
    found = {
        "label": run.label,
        "percent": run.by_accuracy,
        "limits": run.bounds,
        "name": [str(name) for name in rows["name"]],
        "group": [GROUPS.index(group) for group in rows["group"]],
        "predicted": [int(source == "predicted") for source in rows.get("latency_source", [])],
        **columns,
        "networks": [_numbered(line, blocks) for line in lines],
    }
    return dict(plain({**found, "blocks": list(blocks)}))


def judged_rows(run: Run, front: Front) -> pd.DataFrame:
    """Return trials and references with a latency, named and grouped, the fastest first."""
    members = set(front.rows["number"]) if len(front.rows) else set()
    done = run.completed
    kept = set(within_limits(done)["number"])
    trials = done.assign(
        name=[network_name(row) for _, row in done[["number"]].iterrows()],
        group=[
            "front" if number in members else "trial" if number in kept else GROUPS[-1]
            for number in done["number"]
        ],
    )
    parts = [trials, run.references.assign(group="reference")]
    rows = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else trials
    return rows.dropna(subset=["latency_ms"]).sort_values("latency_ms", kind="stable")


def _short(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(f"{value:.{DIGITS}g}")


def _numbered(line: Any, blocks: dict[str, int]) -> list[int]:
    if not isinstance(line, str) or not line:
        return []
    return [STAGE if word == "|" else blocks.setdefault(word, len(blocks)) for word in line.split()]


def packed(text: str) -> str:
    """Return text so that a page can hold it and its script can unpack it: gzip, base64."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def packed_json(data: Any) -> str:
    """Return data, packed."""
    return packed(json.dumps(data, separators=(",", ":"), allow_nan=False))


@lru_cache(maxsize=1)
def plotly() -> str:
    """Return plotly's script, packed: a page must open where there is no network."""
    file = resources.files("plotly").joinpath("package_data", "plotly.min.js")
    return packed(file.read_text(encoding="utf-8"))
