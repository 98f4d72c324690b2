"""Populations of networks from run directories, files and Optuna's storages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, check_columns, numbers
from analysis.read.files import read_file
from analysis.read.runs import OBJECTIVES, Run, read_run, within_limits
from analysis.read.studies import read_study
from analysis.schema import ERRORS, VARIABLE
from analysis.statistics.fronts import Direction

ACCURACIES = ("score", "accuracy", "top1", "test_accuracy")
"""Columns that are taken for what is to be maximised, in this order; all but scores are shares."""
ERROR = "error"
NEGATED = "less "
"""Begins the label of errors that are scores with their sign turned."""


@dataclass(frozen=True)
class Population:
    """Networks of one space, or of one search.

    Attributes:
        name: what it is called in tables and figures.
        table: one row a network that was judged, with the column `ERRORS`, the lower the better.
        label: what the error is, for axes.
        objectives: direction by column, for fronts.
        variables: columns of the design variables.
        rows: all evaluations that the source holds, in their order; those without a result, too.
        references: networks to compare with, in the same columns, named.
        limits: of the search, as they were given, by metric.
        about: data and device of a run.
    """

    name: str
    table: pd.DataFrame
    label: str
    objectives: dict[str, Direction]
    variables: tuple[str, ...]
    rows: pd.DataFrame
    references: pd.DataFrame = field(default_factory=pd.DataFrame)
    limits: dict[str, str] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> pd.Series:
        """The column of errors."""
        return self.table[ERRORS]

    @property
    def seen(self) -> int:
        """How many networks were evaluated, the ones without a result included."""
        return len(self.rows)

    @property
    def attempts(self) -> pd.DataFrame:
        """All evaluations; no objectives where there is no result, or it is beyond the limits."""
        kept = self.admitted
        values = {name: kept[name].reindex(self.rows.index) for name in self.objectives}
        return self.rows.assign(**values)

    @property
    def known(self) -> int:
        """How many networks have a finite error."""
        return int(np.isfinite(self.errors.to_numpy(dtype=float)).sum())

    @property
    def admitted(self) -> pd.DataFrame:
        """The networks that keep the search's limits; all where there are none."""
        return within_limits(self.table)

    def where(self, name: str, kept: pd.Series) -> Population:
        """Return the networks that a mask keeps, as a population of their own."""
        table = self.table[kept.to_numpy(dtype=bool)]
        return replace(self, name=name, table=table, rows=table)


@dataclass(frozen=True)
class ReadOptions:
    """How tables are read.

    Attributes:
        error: column to be minimised; found out if None.
        score: column to be maximised, instead; found out if None.
        variables: columns of the design variables; those that begin with ``x.`` if there is none.
        costs: columns to be minimised beside, for fronts; those of `COSTS` that there are.
        study: name of the study in an Optuna storage; the only one there is if None.
    """

    error: str | None = None
    score: str | None = None
    variables: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    study: str | None = None


COSTS = ("latency_ms", "madds", "params")
"""Columns that are taken for the cost that a front is drawn over: the first that there is."""


def read_population(source: str, reading: ReadOptions | None = None) -> Population:
    """Read a run directory, a table (.csv, .parquet, .json) or an Optuna storage (a URL).

    Args:
        source: a path, or a URL such as ``sqlite:///study.db``.
        reading: how; found out from the columns' names if None.

    Raises:
        AnalysisError: when it cannot be read, or it is not clear which column is the error.
    """
    reading = reading or ReadOptions()
    if "://" in source:
        study = read_study(source, reading.study)
        judged = study.rows[study.complete]
        return _population(study.name, judged, reading, study.rows, study.directions)
    if reading.study is not None:
        raise AnalysisError(f"--study names a study of an Optuna storage; {source} is none")
    path = Path(source)
    if path.is_dir():
        return population_of(read_run(path), reading)
    table = read_file(path)
    return _population(path.stem, table, reading, table)


def read_populations(
    sources: Sequence[str], reading: ReadOptions | None = None
) -> list[Population]:
    """Read several; those of the same name are told apart by their sources.

    Raises:
        AnalysisError: see `read_population`.
    """
    found = [read_population(source, reading) for source in sources]
    names = [population.name for population in found]
    return told_apart(
        [
            population
            if names.count(population.name) == 1
            else replace(population, name=f"{population.name} ({source})")
            for population, source in zip(found, sources, strict=True)
        ]
    )


def told_apart(populations: Sequence[Population]) -> list[Population]:
    """Number populations of the same name."""
    seen: dict[str, int] = {}
    found = []
    for population in populations:
        count = seen[population.name] = seen.get(population.name, 0) + 1
        name = population.name if count == 1 else f"{population.name} #{count}"
        found.append(replace(population, name=name))
    return found


def population_of(run: Run, reading: ReadOptions | None = None) -> Population:
    """Return the networks of a run that were judged."""
    reading = reading or ReadOptions()
    about = {key: str(run.config[key]) for key in ("data", "device")}
    more: dict[str, Any] = {"references": run.references, "limits": run.limits, "about": about}
    name, done = run.path.name, run.completed
    if reading.error or reading.score or reading.costs:
        return replace(_population(name, done, reading, run.trials), **more)
    label = ERROR if run.by_accuracy else f"{NEGATED}{run.label}"
    errors = (1 if run.by_accuracy else 0) - done["score"]
    table, variables = _with_variables(done.assign(**{ERRORS: errors}), reading)
    return Population(name, table, label, dict(OBJECTIVES), variables, run.trials, **more)


def _population(
    name: str,
    table: pd.DataFrame,
    reading: ReadOptions,
    rows: pd.DataFrame,
    directions: Mapping[str, Direction] | None = None,
) -> Population:
    """Name the parts of a table.

    Args:
        name: of the population.
        table: networks with a result.
        reading: how it is read.
        rows: all evaluations.
        directions: of a study's values.
    """
    known = dict(directions or {})
    quality, direction = _judged_by(table, reading, known)
    values = pd.Series(numbers(table, [quality])[:, 0], index=table.index)
    shares = bool(values.min() >= 0 and values.max() <= 1)
    if direction == "min":
        errors, label = values, quality
        if quality == ERROR and not shares:  # not to be drawn in percent
            label = f"{ERROR}, as given"
    elif quality in ACCURACIES[1:] and shares:
        errors, label = 1 - values, ERROR
    else:
        errors, label = -values, f"{NEGATED}{quality}"
    objectives = {quality: direction, **_costs(table, reading, known, quality)}
    table, variables = _with_variables(table.assign(**{ERRORS: errors}), reading)
    return Population(name, table, label, objectives, variables, rows)


def _judged_by(
    table: pd.DataFrame, reading: ReadOptions, directions: Mapping[str, Direction]
) -> tuple[str, Direction]:
    """Return the column that tells how good a network is, and its direction."""
    if reading.error and reading.score:
        raise AnalysisError("give --error or --score, not both")
    if reading.error:
        check_columns(table, [reading.error])
        return reading.error, "min"
    if reading.score:
        check_columns(table, [reading.score])
        return reading.score, "max"
    usual: dict[str, Direction] = {ERROR: "min", **dict.fromkeys(ACCURACIES, "max")}
    if directions:
        agreed = [name for name in directions if directions[name] == usual.get(name)]
        first = (agreed or list(directions))[0]
        return first, directions[first]
    found = [name for name in usual if name in table]
    if not found:
        raise AnalysisError(
            f"which column tells how good a network is? Name it with --error COLUMN or --score "
            f"COLUMN; there are {', '.join(map(str, table.columns))}"
        )
    return found[0], usual[found[0]]


def _costs(
    table: pd.DataFrame, reading: ReadOptions, directions: Mapping[str, Direction], quality: str
) -> dict[str, Direction]:
    """Return the objectives beside: those that are named, a study's own, or the usual one."""
    if quality in reading.costs:
        raise AnalysisError(f"'{quality}' cannot be both how good a network is and a cost")
    numbers(table, reading.costs)
    if reading.costs:
        return {name: directions.get(name, "min") for name in reading.costs}
    others = {name: directions[name] for name in directions if name != quality}
    if others:
        return others
    usual = [cost for cost in COSTS if cost in table and cost != quality]
    return dict.fromkeys(usual[:1], "min")


def _with_variables(
    table: pd.DataFrame, reading: ReadOptions
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    check_columns(table, list(reading.variables))
    named = reading.variables or [n for n in map(str, table) if n.startswith(VARIABLE)]
    return _mixes(table, tuple(dict.fromkeys(named)))


def network_name(row: pd.Series) -> str:
    """Return what a row's network is called."""
    if "name" in row:
        return str(row["name"])
    return f"trial_{row['number']}" if "number" in row else f"row {row.name}"


KERNELS = "kernels"
"""Ends the columns that hold mixes of kernels, as ``3.5.7``."""


def _mixes(table: pd.DataFrame, variables: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Put a mix's mean kernel and number of groups in its place among the variables.

    There are a hundred mixes, more than a population has networks of each to tell them by.
    """
    found: list[str] = []
    added: dict[str, pd.Series] = {}
    for name in variables:
        if not name.endswith(KERNELS):
            found.append(name)
            continue
        stem = name.removesuffix(KERNELS)
        mixes = [_kernel_sizes(text) for text in table[name]]
        means = [sum(mix) / len(mix) if mix else None for mix in mixes]
        groups = [len(mix) if mix else None for mix in mixes]
        for end, values in (("mean_kernel", means), ("kernel_groups", groups)):
            added[stem + end] = pd.Series(values, index=table.index, dtype=float)
            found.append(stem + end)
    return table.assign(**added), tuple(found)


def _kernel_sizes(text: Any) -> list[int]:
    parts = str(text).split(".") if isinstance(text, str | int) else []
    return [int(part) for part in parts if part.isdigit()]
