"""The tables of a run, made from its study: trials, Pareto front, best network, report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.read.devices import JOINT, file_names, joint_objectives, table_on
from analysis.read.networks import trial_file
from analysis.read.runs import OBJECTIVES
from analysis.report.page import read_report, write_page
from analysis.report.text import data_remark
from analysis.schema import LIMITED, OPERATOR_COLUMNS, on_device
from analysis.statistics.devices import device_losses
from analysis.statistics.fronts import Front, pareto_front
from analysis.statistics.retraining import confirmed
from analysis.units import trial_name
from nas import cli
from nas.errors import MixnasError, UnrunnableError
from nas.latency import measure_quietly
from nas.latency.device import ProfilingDevice
from nas.search.config import SearchConfig
from nas.search.devices import ATTEMPTS, SearchDevice
from nas.search.devices.results import DeviceResults
from nas.search.directory import RunDirectory
from nas.search.references import References
from nas.search.results import Results, next_commands
from nas.search.retraining import retrained
from nas.space import Space
from nas.space.rows import genotype_of_row
from nas.spec import NetworkSpec
from nas.study import SearchStudy


@dataclass
class RunTables:
    """The tables of a run, made from its study.

    Attributes:
        directory: Run directory that holds them.
        config: Configuration of the search.
        space: Space of the trials' networks.
        study: Study that records the trials.
        references: Reference networks.
        devices: Devices of the search, the first one first.
        label: What the estimator's scores are called.
        is_accuracy: Whether they are accuracies, which are shown in percent.
        side: Side of the images that scores rest on, in pixels; None if it is not known.
        retraining_side: The same of the retrained networks.
    """

    directory: RunDirectory
    config: SearchConfig
    space: Space
    study: SearchStudy
    references: References
    devices: Sequence[SearchDevice]
    label: str
    is_accuracy: bool = True
    side: int | None = None
    retraining_side: int | None = None

    def save(self) -> None:
        """Write all tables and the best network.

        Raises:
            MixnasError: If they cannot be written.
        """
        try:
            self._write(self.study.table())
        except OSError as error:
            path = self.directory.path
            raise MixnasError(
                f"the tables in {path} cannot be written: {error}. The trials are safe in the "
                f"study; remove the cause, then continue with --resume {shlex.quote(str(path))}"
            ) from None

    def _write(self, table: pd.DataFrame) -> None:
        table = self._judged(table)
        self.directory.write_table("trials", table)
        if self.references.rows:
            self.directory.write_table("references", self.references.table())
            self.references.write_specs(self.directory)
        first, *others = self.devices
        self._write_front("", self._front(table, first).rows, self._best_row(table, first))
        if not others:
            return
        files = file_names([each.name for each in self.devices])
        for each in self.devices:
            rows, best = self._front(table, each).rows, self._best_row(table, each)
            self._write_front(f"@{files[each.name]}", rows, best)
        joint = self._joint_front(table).rows
        self._write_front(f"@{JOINT}", joint, _highest(joint))

    def _judged(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of trials with the columns that say which limits they keep."""
        kept = {
            each.name: table["number"].isin(self._within(table, each)["number"])
            for each in self.devices
        }
        columns = {LIMITED: kept[self.devices[0].name]}
        if len(self.devices) > 1:
            columns |= {on_device(LIMITED, name): column for name, column in kept.items()}
        return table.assign(**columns)

    def _write_front(self, suffix: str, rows: pd.DataFrame, best: pd.Series | None) -> None:
        """Write a front, the networks on it, and the best one of them, if there is one."""
        self.directory.write_table(f"pareto{suffix}", rows)
        for row in rows.to_dict("records"):
            self._keep(row)
        file = self.directory.path / f"best{suffix}.yaml"
        if best is None:
            file.unlink(missing_ok=True)
            return
        self._keep(best.to_dict())
        self._spec(best.to_dict()).save(file)

    def _keep(self, row: Mapping[Hashable, Any]) -> None:
        """Write the network of a trial to the run directory, where it stays."""
        file = trial_file(f"trial_{row['number']}")
        self.directory.write_once(file, lambda: self._spec(row).to_yaml())

    def _spec(self, row: Mapping[Hashable, Any]) -> NetworkSpec:
        genotype = genotype_of_row(row, self.space)
        return self.space.decode(genotype, f"{self.space.name}_trial_{row['number']}")

    def measure_front(self, begin: Callable[[], None]) -> None:
        """Measure what a report shows first, as far as its latency was predicted or noisy.

        These are the references, and the best network and the front of each device and of all. A
        measurement may take a network off a front and put another one on it, so this repeats until
        all fronts are measured.

        Args:
            begin: Called before each measurement.
        """
        self.references.measure_again(self.devices, begin, ATTEMPTS)
        again: set[tuple[int, str]] = set()
        while True:
            table = self.study.table()
            doubtful = {each.name: self._doubtful(table, each, again) for each in self.devices}
            if all(rows.empty for rows in doubtful.values()):
                return
            for each in self.devices:
                for row in doubtful[each.name].to_dict("records"):
                    begin()
                    again.add((int(row["number"]), each.name))
                    self._measure_again(row, each)

    def _measure_again(self, row: Mapping[Hashable, Any], each: SearchDevice) -> None:
        number = int(row["number"])
        spec = self.space.decode(genotype_of_row(row, self.space))
        try:
            latency = measure_quietly(each.device, spec, ATTEMPTS)
        except UnrunnableError as error:  # its latency was predicted, or there was more memory
            self.study.confirm(number, None, each.name)
            cli.print_text(f"{trial_name(number)} cannot run on {each.name}: {error}", error=True)
            return
        if row["latency_source"] == "predicted" or not latency.noise:
            self.study.confirm(number, latency, each.name)

    def _doubtful(
        self, table: pd.DataFrame, each: SearchDevice, again: Container[tuple[int, str]]
    ) -> pd.DataFrame:
        """Return the networks that a report shows first and that lack a quiet measurement."""
        best = self._best_row(table, each)
        numbers = set(self._front(table, each).rows["number"])
        if best is not None:
            numbers.add(best["number"])
        if len(self.devices) > 1:
            numbers |= set(self._joint_front(table).rows["number"])
        numbers = {number for number in numbers if (number, each.name) not in again}
        shown = table_on(table[table["number"].isin(numbers)], each.name)
        noisy = shown["latency_noise"].fillna("") != ""
        return shown[noisy | (shown["latency_source"] == "predicted")]

    def profile_best(self) -> None:
        """Write what the time of each device's best network consists of, where a runtime tells.

        A network that was profiled before, as in a search that was resumed, is not profiled again.
        """
        table, rows, known = self.study.table(), [], self._profiled()
        for each in self.devices:
            best = self._best_row(table, each)
            if best is None or not isinstance(each.device, ProfilingDevice):
                continue
            name = f"trial_{best['number']}"
            if (each.name, name) in known:
                rows += known[each.name, name]
                continue
            with suppress(UnrunnableError):
                times = each.device.operator_ms(self._spec(best.to_dict()))
                rows += [(each.name, name, kind, round(ms, 4)) for kind, ms in times.items()]
        if rows:
            self.directory.write_table("operators", pd.DataFrame(rows, columns=OPERATOR_COLUMNS))

    def _profiled(self) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
        """Return the rows of the networks that were profiled before, by device and network."""
        *text, number = OPERATOR_COLUMNS
        try:
            table = self.directory.read_table("operators", text, [number])
        except MixnasError:  # damaged; it is written anew
            table = None
        rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        if table is None:
            return rows
        for row in table[list(OPERATOR_COLUMNS)].itertuples(index=False, name=None):
            rows.setdefault((row[0], row[1]), []).append(row)
        return rows

    def _best_row(self, table: pd.DataFrame, each: SearchDevice) -> pd.Series | None:
        """Return the best network of a device's front, or the one with the highest reward.

        Retraining results decide if there are any; otherwise scores do.
        """
        within = self._within(table, each)
        if within.empty:
            return None
        if self.study.objective.target_ms is not None:
            return within.sort_values("reward", ascending=False).iloc[0]
        ordered = self._ordered_front(table, each)
        validation = {row.name: row.validation for row in confirmed(retrained(self.directory))}
        names = [f"trial_{number}" for number in ordered["number"]]
        if names[0] not in validation:  # nothing was retrained, or a better network was found since
            return ordered.iloc[0]
        means = [validation.get(name, -1.0) for name in names]
        return ordered.iloc[means.index(max(means))]

    def _ordered_front(self, table: pd.DataFrame, each: SearchDevice) -> pd.DataFrame:
        """Return a device's front, the highest score first."""
        rows = self._front(table, each).rows
        return rows.sort_values(["score", "latency_ms"], ascending=[False, True])

    def best_networks(self, most: int) -> dict[str, NetworkSpec]:
        """Return the `most` best networks for each device, by the names of their trials."""
        table = self.study.table()
        found: dict[str, NetworkSpec] = {}
        for each in self.devices:
            if self.study.objective.target_ms is None:
                rows = self._ordered_front(table, each).head(most)
            else:
                rows = self._within(table, each).sort_values("reward", ascending=False).head(most)
            found |= {
                f"trial_{row['number']}": self.space.decode(genotype_of_row(row, self.space))
                for row in rows.to_dict("records")
            }
        return found

    def _within(self, table: pd.DataFrame, each: SearchDevice) -> pd.DataFrame:
        """Return the complete trials that keep the limits on a device, as far as it is known now.

        Plain columns are those of the device.
        """
        done = table_on(table[table["state"] == "complete"], each.name)
        done = done[done["latency_ms"].notna()]  # what joined later may not run all networks
        for limit in each.limits:
            kept = [limit.violation(value) == 0 for value in done["latency_ms"]]
            done = done.loc[pd.Series(kept, index=done.index, dtype=bool)]
        return done

    def _front(self, table: pd.DataFrame, each: SearchDevice) -> Front:
        return pareto_front(self._within(table, each), OBJECTIVES)

    def _joint_front(self, table: pd.DataFrame) -> Front:
        """Return the front of scores and all latencies, of networks that keep all limits."""
        numbers = [set(self._within(table, each)["number"]) for each in self.devices]
        within = table[table["number"].isin(set.intersection(*numbers))]
        return pareto_front(within, joint_objectives([each.name for each in self.devices]))

    def report(self, json: bool) -> None:
        """Write the report; print the Pareto front and the references, as a table or as JSON."""
        report = read_report(self.directory.path)
        page = write_page(report)
        table = self.study.table()
        first = self.devices[0]
        best = self._best_row(table, first)
        results = Results(
            path=self.directory.path,
            page=page,
            front=self._front(table, first),
            references=self.references.table(),
            label=self.label,
            is_accuracy=self.is_accuracy,
            side=self.side,
            batch=self.config.device_batch,
            retraining_side=self.retraining_side,
            head_start=report.run.head_start,
            remark=data_remark(report.run),
            retrained=retrained(self.directory),
            best="" if best is None else f"trial_{best['number']}",
            several=self._several(table),
            commands={}
            if best is None
            else next_commands(self.directory.path, self.config, self.side),
        )
        if json:
            cli.print_json(results.to_dict(self.study.completed()))
        else:
            results.print(self.config.data, first.name)

    def _several(self, table: pd.DataFrame) -> DeviceResults | None:
        """Return the results by device; None if there is only one."""
        if len(self.devices) < 2:
            return None
        fronts = {each.name: self._front(table, each) for each in self.devices}
        admitted = {each.name: self._within(table, each) for each in self.devices}
        best = {each.name: self._best_row(table, each) for each in self.devices}
        winners = {name: int(row["number"]) for name, row in best.items() if row is not None}
        return DeviceResults(
            fronts=fronts,
            joint=self._joint_front(table),
            winners=winners,
            losses=device_losses(table, fronts, admitted, winners),
        )


def _highest(rows: pd.DataFrame) -> pd.Series | None:
    """Return the row with the highest score; None if there is none."""
    return None if rows.empty else rows.sort_values("score", ascending=False).iloc[0]
