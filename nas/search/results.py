"""What a search shows at its end: the references beside, the table, the summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.runs import plain, score_text
from analysis.statistics.fronts import Front
from analysis.statistics.retraining import confirmed, confirmed_rows, differences
from nas import cli
from nas.accuracy import Estimate
from nas.cost import count
from nas.errors import UnrunnableError
from nas.executors.worker import Failure
from nas.formats.arch_string import arch_string
from nas.latency import Device, Latency, measure_quietly
from nas.spec import NetworkSpec
from nas.study.table import estimate_columns, latency_columns
from nas.units import format_count

RESULT_COLUMNS = [
    "name",
    "accuracy",
    "score",
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_source",
    "latency_noise",
    "madds",
    "params",
]


class References:
    """Networks that people know, trained and measured as the trials are.

    Attributes:
        specs: by name.
        rows: one for every reference judged so far, in the columns of the trials.
    """

    def __init__(self, specs: dict[str, NetworkSpec], table: pd.DataFrame | None) -> None:
        """Take the networks, and the rows of an earlier process."""
        self.specs = specs
        self.rows = [] if table is None else records(table)

    def missing(self) -> list[str]:
        """Name those that have no row yet."""
        known = {row["name"] for row in self.rows}
        return [name for name in self.specs if name not in known]

    def measure(self, device: Device) -> dict[str, Latency]:
        """Measure those that have no row yet; what the device cannot run gets a row with why."""
        latencies = {}
        for name in self.missing():
            try:
                latencies[name] = measure_quietly(device, self.specs[name])
            except UnrunnableError as error:
                self._note(name, {}, Failure(str(error)), 0)
        return latencies

    def note(self, name: str, latency: Latency, result: Estimate | Failure, seed: int) -> None:
        """Add a row."""
        self._note(name, latency.to_dict(), result, seed)

    def _note(
        self, name: str, latency: dict[str, Any], result: Estimate | Failure, seed: int
    ) -> None:
        failed = isinstance(result, Failure)
        self.rows.append(
            {
                "name": name,
                "state": "fail" if failed else "complete",
                "reason": result.reason if isinstance(result, Failure) else "",
                "spec_hash": self.specs[name].digest(),
                "architecture": arch_string(self.specs[name]),
                **asdict(count(self.specs[name])),
                **estimate_columns({} if isinstance(result, Failure) else asdict(result)),
                **latency_columns(latency),
                "seed": seed,
            }
        )

    def table(self) -> pd.DataFrame:
        """Return the rows as a table, which has its columns even when it is empty."""
        return pd.DataFrame(self.rows) if self.rows else pd.DataFrame(columns=RESULT_COLUMNS)


@dataclass(frozen=True)
class Results:
    """The end of a search.

    Attributes:
        path: the run directory.
        page: the report.
        front: of the completed trials.
        references: their table.
        label: what the scores are called.
        retrained: one row a retraining.
        best: name of the network in `best.yaml`.
    """

    path: Path
    page: Path
    front: Front
    references: pd.DataFrame
    label: str
    retrained: pd.DataFrame
    best: str

    def _members(self) -> pd.DataFrame:
        rows = self.front.rows
        return rows.assign(name=[f"trial_{number}" for number in rows["number"]])

    def to_dict(self, completed: int) -> dict[str, Any]:
        """Return a summary as plain data."""
        return {
            "run": str(self.path),
            "completed": completed,
            "hypervolume": self.front.hypervolume,
            "reference_point": self.front.reference,
            "pareto": records(self._members()[RESULT_COLUMNS]),
            "score": self.label,
            "references": records(self.references.reindex(columns=RESULT_COLUMNS)),
            "confirmed": [plain(asdict(row)) for row in confirmed(self.retrained)],
            "differences": [plain(asdict(row)) for row in differences(self.retrained, self.best)],
            "best": str(self.path / "best.yaml"),
            "report": str(self.page),
        }

    def print(self, data: str, device: str) -> None:
        """Print the Pareto table, fastest first, with the references beside."""
        rows = [("front", row) for row in records(self._members()[RESULT_COLUMNS])]
        known = self.references.reindex(columns=RESULT_COLUMNS).dropna(subset=["latency_ms"])
        rows += [("reference", row) for row in records(known)]
        cli.print_table(
            f"Pareto front of {self.front.n} networks, with references",
            ["network", "", self.label, "latency (ms)", "10% to 90%", "", "MAdds", "params"],
            [_cells(kind, row) for kind, row in sorted(rows, key=lambda r: r[1]["latency_ms"])],
            f"{self.label}: {data}, one seed; latency: {device}, one image, in deployed form",
        )
        if len(self.retrained):
            self._print_confirmed()
        print(f"report: {self.page}")
        print(f"best:   {self.path / 'best.yaml'}")

    def _print_confirmed(self) -> None:
        cli.print_table(
            f"Retrained longer, {max(row.n for row in confirmed(self.retrained))} times each",
            ["network", "", "validation", "test", "the best less this one (95%)", ""],
            [list(row.values()) for row in confirmed_rows(self.retrained, self.best)],
            "mean and standard deviation over seeds, in percent; the test part was read for this "
            "table alone; intervals hold the noise of training and of the test images",
        )


def _cells(kind: str, row: dict[str, Any]) -> list[str]:
    return [
        str(row["name"]),
        kind,
        score_text(row["score"], row["score"] == row["accuracy"]),
        f"{row['latency_ms']:.2f}",
        f"{row['latency_p10_ms']:.2f} to {row['latency_p90_ms']:.2f}",
        _doubt(row),
        format_count(row["madds"]),
        format_count(row["params"]),
    ]


def _doubt(row: dict[str, Any]) -> str:
    if row["latency_source"] == "predicted":
        return "predicted"
    return "noisy" if row["latency_noise"] else ""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain data, None for what is missing."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
