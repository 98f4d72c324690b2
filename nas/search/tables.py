"""The tables of a run, made from its study: trials, Pareto front, best network, report."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis.read.runs import OBJECTIVES
from analysis.report.page import write_report
from analysis.statistics.fronts import Front, pareto_front
from analysis.statistics.retraining import confirmed
from nas import cli
from nas.errors import MixnasError, UnrunnableError
from nas.latency import Device, measure_quietly
from nas.limits import Limit
from nas.search.config import SearchConfig
from nas.search.directory import RunDirectory
from nas.search.references import References
from nas.search.results import Results
from nas.search.retraining import retrained
from nas.search.trials import ATTEMPTS
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
        latency_limits: Limits on latency.
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
    latency_limits: list[Limit]
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
        table["within_limits"] = table["number"].isin(self._within(table)["number"])
        self.directory.write_table("trials", table)
        if self.references.rows:
            self.directory.write_table("references", self.references.table())
        front = self._front(table)
        self.directory.write_table("pareto", front.rows)
        best = self._best_row(table)
        if best is None:
            (self.directory.path / "best.yaml").unlink(missing_ok=True)
        else:
            genotype = genotype_of_row(best.to_dict(), self.space)
            name = f"{self.space.name}_trial_{best['number']}"
            self.space.decode(genotype, name).save(self.directory.path / "best.yaml")

    def measure_front(self, device: Device, begin: Callable[[], None]) -> None:
        """Measure what a report shows first, as far as its latency was predicted or noisy.

        These are the references, the best network and the front. A measurement may take a network
        off the front and put another one on it, so this repeats until the whole front is measured.

        Args:
            device: Device that measures.
            begin: Called before each measurement.
        """
        self.references.measure_again(device, begin, ATTEMPTS)
        again: set[int] = set()
        while True:
            doubtful = self._doubtful(again)
            if doubtful.empty:
                return
            for row in doubtful.to_dict("records"):
                begin()
                again.add(int(row["number"]))
                spec = self.space.decode(genotype_of_row(row, self.space))
                try:
                    latency = measure_quietly(device, spec, ATTEMPTS)
                except UnrunnableError:  # its latency was predicted, but the device cannot run it
                    continue
                if row["latency_source"] == "predicted" or not latency.noise:
                    self.study.confirm(int(row["number"]), latency)

    def _doubtful(self, again: set[int]) -> pd.DataFrame:
        """Return the networks that a report shows first and that lack a quiet measurement."""
        table = self.study.table()
        best = self._best_row(table)
        numbers = set(self._front(table).rows["number"]) - again
        if best is not None:
            numbers |= {best["number"]} - again
        shown = table[table["number"].isin(numbers)]
        noisy = shown["latency_noise"].fillna("") != ""
        return shown[noisy | (shown["latency_source"] == "predicted")]

    def _best_row(self, table: pd.DataFrame) -> pd.Series | None:
        """Return the best network of the front, or the one with the highest reward.

        Retraining results decide if there are any; otherwise scores do.
        """
        within = self._within(table)
        if within.empty:
            return None
        if self.study.objective.target_ms is not None:
            return within.sort_values("reward", ascending=False).iloc[0]
        ordered = self._ordered_front(table)
        validation = {row.name: row.validation for row in confirmed(retrained(self.directory))}
        names = [f"trial_{number}" for number in ordered["number"]]
        if names[0] not in validation:  # nothing was retrained, or a better network was found since
            return ordered.iloc[0]
        means = [validation.get(name, -1.0) for name in names]
        return ordered.iloc[means.index(max(means))]

    def _ordered_front(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the front, the highest score first."""
        rows = self._front(table).rows
        return rows.sort_values(["score", "latency_ms"], ascending=[False, True])

    def best_networks(self, most: int) -> dict[str, NetworkSpec]:
        """Return the `most` best networks, by the names of their trials."""
        table = self.study.table()
        if self.study.objective.target_ms is None:
            rows = self._ordered_front(table).head(most)
        else:
            rows = self._within(table).sort_values("reward", ascending=False).head(most)
        return {
            f"trial_{row['number']}": self.space.decode(genotype_of_row(row, self.space))
            for row in rows.to_dict("records")
        }

    def _within(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the complete trials that keep the limits on latency, as far as it is known now."""
        done = table[table["state"] == "complete"]
        for limit in self.latency_limits:
            kept = [limit.violation(value) == 0 for value in done["latency_ms"]]
            done = done.loc[pd.Series(kept, index=done.index, dtype=bool)]
        return done

    def _front(self, table: pd.DataFrame) -> Front:
        return pareto_front(self._within(table), OBJECTIVES)

    def report(self, json: bool) -> None:
        """Write the report; print the Pareto front and the references, as a table or as JSON."""
        page = write_report(self.directory.path)
        table = self.study.table()
        front = self._front(table)
        best = self._best_row(table)
        results = Results(
            path=self.directory.path,
            page=page,
            front=front,
            references=self.references.table(),
            label=self.label,
            is_accuracy=self.is_accuracy,
            side=self.side,
            retraining_side=self.retraining_side,
            retrained=retrained(self.directory),
            best="" if best is None else f"trial_{best['number']}",
        )
        if json:
            cli.print_json(results.to_dict(self.study.completed()))
        else:
            results.print(self.config.data, self.config.device)
