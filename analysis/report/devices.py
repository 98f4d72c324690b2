"""The part of a report that is about several devices: a front for each, and one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.errors import floats
from analysis.figures.devices import devices_figure
from analysis.figures.search import front_figure
from analysis.read.devices import file_names, joint_objectives, within_all
from analysis.read.runs import OBJECTIVES, Run, within_limits
from analysis.report.text import front_sentence
from analysis.statistics.devices import DeviceLoss, device_losses, loss_rows, loss_sentence
from analysis.statistics.fronts import Front, pareto_front
from analysis.units import number_of


@dataclass(frozen=True)
class DeviceReport:
    """What a search on several devices found.

    Attributes:
        run: The search, on all devices.
        runs: The search as each device sees it, the first device first.
        fronts: Pareto front on each device, of the trials within its limits.
        joint: Front of scores and all latencies, of the trials within all limits.
        losses: What the networks for one device lose on another.
    """

    run: Run
    runs: Mapping[str, Run]
    fronts: Mapping[str, Front]
    joint: Front
    losses: Sequence[DeviceLoss]

    @property
    def devices(self) -> list[str]:
        """The names of the devices."""
        return list(self.runs)

    def summary(self) -> list[str]:
        """Summarize the fronts of the other devices, the joint one, and the losses."""
        first, *others = self.devices
        paragraphs = [
            f"On {device}: {front_sentence(self.runs[device], self.fronts[device])}"
            if len(self.fronts[device].rows)
            else f"On {device}, no network has a latency within the limits."
            for device in others
        ]
        paragraphs.append(
            f"What is said above of one device is about {first}. "
            f"{number_of(len(self.joint.rows), 'network')} of {self.joint.n} within the limits of "
            "all devices cannot be replaced by another one that is better in the score or on a "
            "device and worse in nothing."
        )
        return paragraphs + [loss_sentence(loss, self.run.by_accuracy) for loss in self.losses]

    def rows(self) -> list[list[str]]:
        """Return the losses as rows of text; see `analysis.statistics.devices.LOSS_TITLES`."""
        return loss_rows(self.losses, self.run.by_accuracy)

    def to_dict(self) -> dict[str, Any]:
        """Return the fronts and the losses as plain data."""
        return {
            "fronts": {
                device: {
                    "front": front.rows.to_dict("records"),
                    "hypervolume": front.hypervolume,
                    "reference": front.reference,
                    "best": self.run.winners.get(device, ""),
                }
                for device, front in self.fronts.items()
            },
            "joint": {
                "front": self.joint.rows.to_dict("records"),
                "hypervolume": self.joint.hypervolume,
                "reference": self.joint.reference,
            },
            "losses": [asdict(loss) for loss in self.losses],
        }

    def figures(self) -> dict[str, tuple[Figure, str]]:
        """Return the figures and their captions by file name; the first device's front is apart."""
        first, *others = self.devices
        files = file_names(self.devices)
        label, by_accuracy = self.run.label, self.run.by_accuracy
        bounds = {device: run.bounds.get("latency_ms") for device, run in self.runs.items()}
        drawn = {}
        for device in others:
            run, front = self.runs[device], self.fronts[device]
            references = run.references.dropna(subset=list(OBJECTIVES))
            drawn[f"front@{files[device]}"] = (
                front_figure(run.completed, references, front, label, by_accuracy, run.bounds),
                f"Score against latency on {device}.",
            )
            drawn[f"devices@{files[device]}"] = (
                devices_figure(
                    self.run.completed,
                    self.joint.rows,
                    (first, device),
                    label,
                    by_accuracy,
                    (bounds[first], bounds[device]),
                ),
                f"Latency on {device} against that on {first}.",
            )
        return drawn


def device_report(run: Run) -> DeviceReport | None:
    """Return the part of a report about several devices; None if the search had one.

    Raises:
        AnalysisError: If a column of the tables is missing or not numeric.
    """
    devices = run.devices
    if len(devices) < 2:
        return None
    runs = {device: run.on(device) for device in devices}
    admitted = {device: _measured(within_limits(one.completed)) for device, one in runs.items()}
    fronts = {device: pareto_front(rows, OBJECTIVES) for device, rows in admitted.items()}
    within = within_limits(within_all(run.completed, devices))
    numbers = {f"trial_{number}": int(number) for number in run.completed["number"]}
    winners = {d: numbers[name] for d in devices if (name := run.winners.get(d)) in numbers}
    return DeviceReport(
        run=run,
        runs=runs,
        fronts=fronts,
        joint=pareto_front(within, joint_objectives(devices)),
        losses=device_losses(run.completed, fronts, admitted, winners),
    )


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the networks that have a latency."""
    return table[np.isfinite(floats(table["latency_ms"]))]
