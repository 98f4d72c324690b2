"""Reference networks: well-known networks that are trained and measured as the trials are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from nas.accuracy import Estimate
from nas.cost import count
from nas.errors import UnrunnableError
from nas.executors.base import Failure
from nas.formats.arch_string import arch_string
from nas.latency import Device, Latency, measure_quietly
from nas.named import AnyNetwork, TimmNetwork
from nas.search.directory import RunDirectory
from nas.study.table import estimate_columns, latency_columns

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

    def measure(self, device: Device) -> dict[str, Latency]:
        """Measure those that have no row yet; one that the device cannot run gets a failed row."""
        latencies = {}
        for name in self.missing():
            try:
                latencies[name] = measure_quietly(device, self.specs[name])
            except UnrunnableError as error:
                self._add(name, {}, Failure(str(error)), 0)
        return latencies

    def measure_again(self, device: Device, begin: Callable[[], None], attempts: int) -> None:
        """Measure those once more whose latency was noisy; a quiet measurement takes its place.

        Args:
            device: Device that measures.
            begin: Called before each measurement.
            attempts: Number of measurements of each, at most.
        """
        noisy = [row for row in self.rows if row.get("latency_noise") and row["name"] in self.specs]
        for row in noisy:
            begin()
            try:
                latency = measure_quietly(device, self.specs[row["name"]], attempts)
            except UnrunnableError:  # though it ran before; the row keeps its remark
                continue
            if not latency.noise:
                row.update(latency_columns(latency.to_dict()))

    def add(self, name: str, latency: Latency, result: Estimate | Failure, seed: int) -> None:
        """Add the row of a reference that was evaluated."""
        self._add(name, latency.to_dict(), result, seed)

    def _add(
        self, name: str, latency: dict[str, Any], result: Estimate | Failure, seed: int
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
                **latency_columns(latency),
                "seed": seed,
            }
        )

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
