"""The results that a search prints at its end: Pareto front, references, retraining."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.printable import fit
from analysis.read.devices import table_on
from analysis.read.runs import plain
from analysis.report.networks import data_words
from analysis.schema import RAW_SCORE
from analysis.statistics.fronts import Front
from analysis.statistics.retraining import (
    comparison_note,
    confirmed,
    confirmed_rows,
    differences,
)
from analysis.units import differ, score_text
from nas import cli
from nas.latency.runtimes import FAMILIES
from nas.search.config import SearchConfig
from nas.search.devices.results import DeviceResults
from nas.search.references import RESULT_COLUMNS, records
from nas.units import format_count, number_of

COST_TITLES = ["latency (ms)", "p10 to p90", "", "MAdds", "params"]
RETRAINED_TITLES = [
    "network",
    "",
    "validation",
    "test",
    "best minus this one (95% CI)",
    "smallest visible lead",
    "",
]


@dataclass(frozen=True)
class Results:
    """The results of a search.

    Attributes:
        path: The run directory.
        page: The report.
        front: Pareto front of the completed trials.
        references: Table of the reference networks.
        label: What the scores are called.
        is_accuracy: Whether they are accuracies, which are shown in percent.
        retrained: One row for each retraining.
        best: Name of the network in ``best.yaml``.
        side: Side of the images that scores rest on, in pixels; None if it is not known.
        retraining_side: The same of the retrained networks.
        several: The results by device; None if there is only one. The others are those of the
            first device.
        head_start: A sentence on those that began with trained weights; empty if none did.
        batch: Number of images per run while latency was measured.
        remark: What to know about the data set; empty for nothing.
        commands: The next commands, by what they do (see `next_commands`).
    """

    path: Path
    page: Path
    front: Front
    references: pd.DataFrame
    label: str
    retrained: pd.DataFrame
    best: str
    is_accuracy: bool = True
    side: int | None = None
    retraining_side: int | None = None
    several: DeviceResults | None = None
    head_start: str = ""
    batch: int = 1
    remark: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, completed: int) -> dict[str, Any]:
        """Return a summary as plain data.

        Args:
            completed: Number of trials with a result.
        """
        return {
            "run": str(self.path),
            "completed": completed,
            "hypervolume": self.front.hypervolume,
            "reference_point": self.front.reference,
            "pareto": records(_members(self.front)[RESULT_COLUMNS]),
            "score": self.label,
            "score_is_accuracy": self.is_accuracy,
            "resolution": self.side,
            "references": records(self.references.reindex(columns=RESULT_COLUMNS)),
            "confirmed": [plain(asdict(row)) for row in confirmed(self.retrained)],
            "differences": [
                {**plain(asdict(row)), "smallest_lead": plain(row.smallest_lead)}
                for row in differences(self.retrained, self.best)
            ],
            "best": str(self.path / "best.yaml"),
            "report": str(self.page),
            "next": dict(self.commands),
            "remark": self.remark,
            **({} if self.several is None else self.several.to_dict(self.path)),
        }

    def print(self, data: str, device: str) -> None:
        """Print the Pareto front and the references, the fastest network first.

        Args:
            data: Name of the data set.
            device: Name of the first device.
        """
        fronts = {device: self.front} if self.several is None else self.several.fronts
        for name, front in fronts.items():
            self._print_front(front, table_on(self.references, name), data, name)
        if self.several is not None:
            self.several.print(self.label, self.is_accuracy)
        if len(self.retrained):
            self._print_retrained()
        cli.print_text(f"report: {self.page}")
        if self.several is not None:
            self.several.print_files(self.path)
        cli.print_text(f"best:   {self.path / 'best.yaml'}")
        for name, command in self.commands.items():
            cli.print_text(f"{name + ':':<8}{command}")
        if self.remark:
            cli.print_paragraph(self.remark)

    def _print_front(self, front: Front, references: pd.DataFrame, data: str, device: str) -> None:
        rows = [("front", row) for row in records(_members(front)[RESULT_COLUMNS])]
        known = references.reindex(columns=RESULT_COLUMNS).dropna(subset=["latency_ms"])
        rows += [("reference", row) for row in records(known)]
        where = "" if self.several is None else f" on {device}"
        smoothed = any(differ(row["score"], row[RAW_SCORE]) for _, row in rows)
        images = "one image" if self.batch == 1 else f"{self.batch} images a run"
        cli.print_table(
            f"Pareto front{where} of {number_of(front.n, 'network')}"
            + (", with the references" if len(known) else ""),
            ["network", "", self.label, *(["raw"] if smoothed else []), *COST_TITLES],
            [
                _cells(kind, row, self.is_accuracy, smoothed)
                for kind, row in sorted(rows, key=lambda r: r[1]["latency_ms"])
            ],
            f"{self.label}: on {data}{_at(self.side)}, one seed; "
            + ("as all networks' scores suggest, raw: as estimated; " if smoothed else "")
            + f"latency: on {device}, {images}, deployed form",
        )

    def _print_retrained(self) -> None:
        times = max(row.n for row in confirmed(self.retrained))
        cli.print_table(
            f"Retrained for longer{_at(self.retraining_side)}, {times} times each",
            RETRAINED_TITLES,
            [
                [fit(cell, sys.stdout.encoding) for cell in row.values()]
                for row in confirmed_rows(self.retrained, self.best)
            ],
            "Mean and standard deviation over seeds; differences in percentage points. The test "
            "split was used for this table only. A lead smaller than the smallest visible one "
            "could not have been told from noise. "
            + f"{comparison_note(self.retrained, self.best)} {self.head_start}".strip(),
        )


def next_commands(path: Path, config: SearchConfig, side: int | None) -> dict[str, str]:
    """Return the commands that train the best network and export it for the first device.

    Args:
        path: Run directory.
        config: Configuration of the search.
        side: Side of the search's images, in pixels; None if it is not known.
    """
    trained = path / "trained"
    words = data_words(config.data, config.images_per_class, side)
    train = ["python", "-m", "nas.train", str(path / "best.yaml"), *words]
    device = config.devices[0]
    family = FAMILIES.get(device.rpartition("/")[2].partition(":")[0])  # of an agent, too
    file_format = "onnx" if family is None else family.model_format or "torch-export"
    export = ["python", "-m", "nas.export", str(trained), "--format", file_format, "--lowered"]
    return {
        "train": shlex.join([*train, "--out", str(trained)]),
        "export": shlex.join([*export, "--device", device]),
    }


def _members(front: Front) -> pd.DataFrame:
    return front.rows.assign(name=[f"trial_{number}" for number in front.rows["number"]])


def _at(side: int | None) -> str:
    return "" if side is None else f" at {side} px"


def _cells(kind: str, row: dict[str, Any], is_accuracy: bool, smoothed: bool) -> list[str]:
    return [
        str(row["name"]),
        kind,
        score_text(row["score"], is_accuracy),
        *([score_text(row[RAW_SCORE], is_accuracy)] if smoothed else []),
        f"{row['latency_ms']:.2f}",
        f"{row['latency_p10_ms']:.2f} to {row['latency_p90_ms']:.2f}",
        _caveat(row),
        format_count(row["madds"]),
        format_count(row["params"]),
    ]


def _caveat(row: dict[str, Any]) -> str:
    """Return the caveat that applies to a latency; empty if there is none."""
    if row["latency_source"] == "predicted":
        return "predicted"
    return "noisy" if row["latency_noise"] else ""
