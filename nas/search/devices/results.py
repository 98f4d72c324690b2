"""What a search on several devices prints beside the front of its first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.devices import JOINT, file_names
from analysis.read.runs import plain
from analysis.schema import on_device
from analysis.statistics.devices import LOSS_TITLES, DeviceLoss, loss_rows
from analysis.statistics.fronts import Front
from analysis.units import score_text, trial_name
from nas import cli
from nas.units import format_count, number_of


@dataclass(frozen=True)
class DeviceResults:
    """The results of a search on several devices.

    Attributes:
        fronts: Pareto front on each device, the first device first.
        joint: Front of the scores and all latencies.
        winners: Number of the trial with the best network for each device that has one.
        losses: What the networks for one device lose on another.
    """

    fronts: Mapping[str, Front]
    joint: Front
    winners: Mapping[str, int]
    losses: Sequence[DeviceLoss]

    @property
    def devices(self) -> list[str]:
        """The names of the devices."""
        return list(self.fronts)

    def to_dict(self, path: Path) -> dict[str, Any]:
        """Return the results as plain data.

        Args:
            path: The run directory.
        """
        files = file_names(self.devices)
        return {
            "devices": [
                {
                    "device": device,
                    "hypervolume": front.hypervolume,
                    "reference_point": front.reference,
                    "pareto": _rows(front.rows, ["latency_ms"]),
                    "winner": trial_name(self.winners[device]) if device in self.winners else None,
                    "best": str(path / f"best@{files[device]}.yaml"),
                }
                for device, front in self.fronts.items()
            ],
            "joint": {
                "hypervolume": self.joint.hypervolume,
                "reference_point": self.joint.reference,
                "pareto": _rows(self.joint.rows, self._latencies),
                "best": str(path / f"best@{JOINT}.yaml"),
            },
            "losses": [dict(plain(asdict(loss))) for loss in self.losses],
        }

    @property
    def _latencies(self) -> list[str]:
        return [on_device("latency_ms", device) for device in self.devices]

    def print(self, label: str, is_accuracy: bool) -> None:
        """Print the joint front, and what networks for one device lose on another."""
        rows = self.joint.rows.sort_values("score", ascending=False)
        cli.print_table(
            "Front of the score and the latencies on all devices: "
            f"{len(rows)} of {number_of(self.joint.n, 'network')} within all limits",
            ["network", label, *(f"{device} (ms)" for device in self.devices), "MAdds", "params"],
            [
                [
                    trial_name(row["number"]),
                    score_text(row["score"], is_accuracy),
                    *(f"{row[column]:.2f}" for column in self._latencies),
                    format_count(row["madds"]),
                    format_count(row["params"]),
                ]
                for row in rows.to_dict("records")
            ],
        )
        cli.print_table(
            "What the choice for one device loses on another",
            list(LOSS_TITLES),
            loss_rows(self.losses, is_accuracy),
            "slowdown: latency over that of the fastest network that scores at least as high; "
            "score lost: to the best network that is at least as fast; hypervolume reached: the "
            "share of the other device's that the first one's front reaches",
        )

    def print_files(self, path: Path) -> None:
        """Print where the best network for each device is."""
        files = file_names(self.devices)
        for device in self.winners:
            name = path / f"best@{files[device]}.yaml"
            cli.print_text(f"best for {device}: {name} ({trial_name(self.winners[device])})")


def _rows(rows: pd.DataFrame, latencies: Sequence[str]) -> list[dict[str, Any]]:
    """Return the networks of a front as plain data."""
    return [
        plain({
            "name": trial_name(row["number"]),
            "score": row["score"],
            **{name: row[name] for name in (*latencies, "madds", "params")},
        })
        for row in rows.to_dict("records")
    ]  # fmt: skip
