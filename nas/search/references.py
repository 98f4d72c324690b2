"""Reference networks: well-known networks that are trained and measured as the trials are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from analysis.read.networks import reference_files
from analysis.schema import RAW_SCORE, on_device
from nas.accuracy import Estimate
from nas.cost import count
from nas.errors import UnrunnableError
from nas.executors.base import Failure
from nas.formats.arch_string import arch_string
from nas.latency import Latency, measure_quietly
from nas.named import AnyNetwork, TimmNetwork
from nas.search.devices import SearchDevice
from nas.search.directory import RunDirectory
from nas.spec import NetworkSpec
from nas.study.table import (
    LATENCY_COLUMNS,
    columns_by_device,
    estimate_columns,
    latency_columns,
)

RESULT_COLUMNS = [
    "name",
    "accuracy",
    "score",
    RAW_SCORE,
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_source",
    "latency_noise",
    "madds",
    "params",
]
"""Columns of ``trials.csv`` and ``references.csv`` that the final table shows."""

_NUMBERS = ("latency_ms", "latency_p10_ms", "latency_p90_ms", "madds", "params", "accuracy")


def read_references(directory: RunDirectory) -> pd.DataFrame | None:
    """Read ``references.csv``; return None if there is none.

    Raises:
        MixnasError: If the file is damaged.
    """
    return directory.read_table("references", text=["name"], numbers=_NUMBERS)


class References:
    """The reference networks of a search and what is known of them.

    Attributes:
        specs: The networks, by name.
        rows: One row for every reference evaluated so far, with the columns of the trials.
    """

    def __init__(self, specs: Mapping[str, AnyNetwork], table: pd.DataFrame | None) -> None:
        """Take the networks, and the rows that an earlier process left."""
        self.specs = specs
        self.rows = [] if table is None else records(table)

    def missing(self) -> list[str]:
        """Return the names of those that have no row yet."""
        known = {row["name"] for row in self.rows}
        return [name for name in self.specs if name not in known]

    def measure(self, devices: Sequence[SearchDevice]) -> dict[str, dict[str, Latency]]:
        """Measure those that have no row yet, and those with a row that lacks a device's latency.

        Args:
            devices: Devices of the search, the first one first.

        Returns:
            The latencies of those that have no row, by device. One that no device can run has none,
            but gets a failed row.
        """
        latencies = {}
        for name in self.missing():
            found, reasons = self._measured(name, devices)
            if found:
                latencies[name] = found
            else:
                self._add(name, {d.name: {} for d in devices}, Failure("; ".join(reasons)), 0)
        for row in self.rows:
            self._complete(row, devices)
        return latencies

    def _measured(
        self, name: str, devices: Iterable[SearchDevice]
    ) -> tuple[dict[str, Latency], list[str]]:
        """Return a reference's latencies by device, and why devices cannot run it."""
        latencies, reasons = {}, []
        for each in devices:
            try:
                latencies[each.name] = measure_quietly(each.device, self.specs[name])
            except UnrunnableError as error:
                reasons.append(str(error))
        return latencies, reasons

    def _complete(self, row: dict[str, Any], devices: Sequence[SearchDevice]) -> None:
        """Measure the network of a row on the devices that joined the run after it was made."""
        if len(devices) < 2 or row["state"] != "complete" or row["name"] not in self.specs:
            return
        first, *others = devices
        if on_device("latency_ms", first.name) not in row:  # the plain columns are the first one's
            row |= {on_device(name, first.name): row.get(name) for name in LATENCY_COLUMNS}
        lacking = [each for each in others if on_device("latency_ms", each.name) not in row]
        latencies, _ = self._measured(row["name"], lacking)
        for each in lacking:
            known = latencies[each.name].to_dict() if each.name in latencies else {}
            columns = latency_columns(known).items()
            row |= {on_device(name, each.name): value for name, value in columns}

    def measure_again(
        self, devices: Sequence[SearchDevice], begin: Callable[[], None], attempts: int
    ) -> None:
        """Measure those once more whose latency was noisy; a quiet measurement takes its place.

        Args:
            devices: Devices of the search, the first one first.
            begin: Called before each measurement.
            attempts: Number of measurements of each, at most.
        """
        for row in self.rows:
            if row["name"] not in self.specs:
                continue
            for each in devices:
                several = len(devices) > 1
                noise = on_device("latency_noise", each.name) if several else "latency_noise"
                if not row.get(noise):
                    continue
                begin()
                try:
                    latency = measure_quietly(each.device, self.specs[row["name"]], attempts)
                except UnrunnableError:  # though it ran before; the row keeps its remark
                    continue
                if not latency.noise:
                    self._replace(row, latency_columns(latency.to_dict()), each, devices)

    @staticmethod
    def _replace(
        row: dict[str, Any],
        columns: dict[str, Any],
        device: SearchDevice,
        devices: Sequence[SearchDevice],
    ) -> None:
        if device is devices[0]:
            row |= columns
        if len(devices) > 1:
            row |= {on_device(name, device.name): value for name, value in columns.items()}

    def add(
        self,
        name: str,
        latencies: Mapping[str, Latency],
        result: Estimate | Failure,
        seed: int,
        devices: Sequence[SearchDevice],
    ) -> None:
        """Add the row of a reference that was evaluated; a device that cannot run it has none."""
        known = {each.name: latencies.get(each.name) for each in devices}
        data = {device: latency.to_dict() if latency else {} for device, latency in known.items()}
        self._add(name, data, result, seed)

    def _add(
        self,
        name: str,
        latencies: Mapping[str, dict[str, Any]],
        result: Estimate | Failure,
        seed: int,
    ) -> None:
        failed = isinstance(result, Failure)
        self.rows.append(
            {
                "name": name,
                "state": "fail" if failed else "complete",
                "reason": result.reason if isinstance(result, Failure) else "",
                "spec_hash": self.specs[name].digest(),
                **_described(self.specs[name]),
                **estimate_columns({} if isinstance(result, Failure) else asdict(result)),
                **columns_by_device(latencies),
                "seed": seed,
            }
        )

    def write_specs(self, directory: RunDirectory) -> None:
        """Write those in the table to the run directory; networks of timm have no spec."""
        for name, file in reference_files([row["name"] for row in self.rows]).items():
            network = self.specs.get(name)
            if isinstance(network, NetworkSpec):
                named = network.replace(name=PurePosixPath(file).stem)
                directory.write_once(file, named.to_yaml)

    def table(self) -> pd.DataFrame:
        """Return the rows as a table, which has its columns even if it is empty."""
        return pd.DataFrame(self.rows) if self.rows else pd.DataFrame(columns=RESULT_COLUMNS)


def _described(network: AnyNetwork) -> dict[str, Any]:
    """Return the columns that follow from a network itself; a network of timm has fewer."""
    if isinstance(network, TimmNetwork):
        from nas.cost.fvcore import timm_costs

        return {"architecture": network.name, **timm_costs(network)}
    return {"architecture": arch_string(network), **asdict(count(network))}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain data, with None for missing values."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
