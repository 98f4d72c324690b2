"""The networks that a report shows first: the front and the references, and how to train them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.read.networks import read_specs, reference_files, trial_file
from analysis.read.runs import Run
from analysis.report.data import GROUPS, short_name
from analysis.schema import ARCHITECTURE, BUILT_IN_DATA, RAW_SCORE
from analysis.units import format_count

SHOWN = (GROUPS[0], GROUPS[2])
"""Groups of the networks that are shown first."""


@dataclass(frozen=True)
class ShownNetwork:
    """A row of the table that a report begins with.

    Attributes:
        index: Position among the networks of the page; see `analysis.report.data.page_data`.
        name: Name of the trial or reference.
        group: ``front`` or ``reference``.
        short: The network, stage by stage.
        score: Its score as text, in percent if it is an accuracy.
        raw: Its score as it was estimated, likewise.
        latency: Latency in milliseconds as text, with what keeps it from being sure.
        madds: Multiply-adds as text.
        params: Parameters as text.
        command: Command that trains it on the data of the search.
        spec: Its spec as a YAML document; empty if the run directory has none.
    """

    index: int
    name: str
    group: str
    short: str
    score: str
    raw: str
    latency: str
    madds: str
    params: str
    command: str
    spec: str


def shown_networks(run: Run, rows: pd.DataFrame) -> list[ShownNetwork]:
    """Return the front and the references, the fastest first.

    Args:
        run: The search.
        rows: Networks of the page; see `analysis.report.data.judged_rows`.

    Raises:
        AnalysisError: If a spec in the run directory cannot be read.
    """
    references = reference_files([str(name) for name in run.references.get("name", [])])
    shown = [
        (index, row) for index, row in enumerate(rows.to_dict("records")) if row["group"] in SHOWN
    ]
    files = {
        index: trial_file(row["name"]) if row["group"] == SHOWN[0] else references[row["name"]]
        for index, row in shown
    }
    specs = read_specs(run.path, list(files.values()))
    return [_shown(run, index, row, files[index], specs) for index, row in shown]


def _shown(
    run: Run, index: int, row: Mapping[Any, Any], file: str, specs: Mapping[str, str]
) -> ShownNetwork:
    name = str(row["name"])
    if file in specs:
        command = train_command(run, str(run.path / file))
    elif row["group"] == SHOWN[0]:  # of a version that did not keep its spec
        command = name.removeprefix("trial_").join(trial_command(run))
    else:
        command = train_command(run, name)
    predicted = " (predicted)" if row.get("latency_source") == "predicted" else ""
    return ShownNetwork(
        index=index,
        name=name,
        group=row["group"],
        short=short_name(row.get(ARCHITECTURE)),
        score=run.score_text(row["score"]),
        raw=run.score_text(row[RAW_SCORE]),
        latency=f"{row['latency_ms']:.2f}{predicted}",
        madds=_count(row["madds"]),
        params=_count(row["params"]),
        command=command,
        spec=specs.get(file, ""),
    )


def train_command(run: Run, network: str) -> str:
    """Return the command that trains a network on the data of a search."""
    return shlex.join(["python", "-m", "nas.train", network, *_data_words(run)])


def _data_words(run: Run) -> list[str]:
    return data_words(str(run.config["data"]), run.config.get("images_per_class"), run.side)


def data_words(data: str, images_per_class: int | None, side: int | None) -> list[str]:
    """Return the options with which a network is trained on the data of a search.

    Args:
        data: Name or path of the data set.
        images_per_class: Number of images of each class in the search, at most; None for all.
        side: Side of the search's images, in pixels; None if it is not known. Built-in images have
            no detail to show at a network's own resolution, so they are trained on at this one.
    """
    words = ["--data", data]
    if images_per_class is not None:
        words += ["--images-per-class", str(images_per_class)]
    if data in BUILT_IN_DATA and side is not None:
        words += ["--resolution", str(side)]
    return words


def trial_command(run: Run) -> list[str]:
    """Return the command that trains any trial, in parts that its number joins.

    It writes the spec of the trial to the working directory first.
    """
    first = shlex.join(["python", "-m", "nas.space", "trial", str(run.path)])
    return [
        f"{first} ",
        " --out trial_",
        ".yaml && python -m nas.train trial_",
        f".yaml {shlex.join(_data_words(run))}",
    ]


def _count(value: Any) -> str:
    known = value is not None and math.isfinite(value)
    return format_count(value) if known else "-"


def shown_data(networks: Sequence[ShownNetwork]) -> dict[str, dict[int, str]]:
    """Return the specs and the commands of networks by their positions, for the page's script."""
    return {
        "specs": {each.index: each.spec for each in networks if each.spec},
        "commands": {each.index: each.command for each in networks},
    }
