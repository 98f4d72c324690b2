"""Populations: tables of networks with one error each, read from any source.

Sources are run directories, table files and Optuna storages. Reading finds the column of the error
or score, turns it into an error to minimize, and finds costs and design variables.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, check_columns, floats, is_numeric, numbers
from analysis.printable import printable
from analysis.read.files import read_file
from analysis.read.runs import OBJECTIVES, Run, read_run, within_limits
from analysis.read.studies import read_study
from analysis.schema import ERROR, ERRORS, NEGATED, RAW_SCORE, VARIABLE, Direction
from analysis.units import trial_name

ACCURACIES = ("score", "accuracy", "top1", "test_accuracy")
"""Columns used as the quantity to maximize, in order of preference."""
SHARES = frozenset(ACCURACIES[1:])
"""Columns that hold accuracies if their values lie between 0 and 1. Scores may be anything."""


@dataclass(frozen=True)
class Population:
    """Networks of one space or one search.

    Attributes:
        name: Name in tables and figures.
        table: One row per evaluated network, with the column `ERRORS` (lower is better).
        label: Name of the error for axes: `ERROR` for shares, prefixed with `NEGATED` for negated
            scores.
        objectives: Direction by column, for fronts.
        variables: Columns of the design variables.
        rows: All evaluations of the source in order, including those without a result.
        references: Named networks to compare with, in the columns of `table`.
        limits: Limits of the search as text, by metric.
        about: What the numbers of a run rest on: ``data``, ``device``, ``estimator``, and as far as
            it is recorded the mappings ``scores`` and ``latencies``.
    """

    name: str
    table: pd.DataFrame
    label: str
    objectives: dict[str, Direction]
    variables: tuple[str, ...]
    rows: pd.DataFrame
    references: pd.DataFrame = field(default_factory=pd.DataFrame)
    limits: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def shares(self) -> frozenset[str]:
        """The objective that is an accuracy or error between 0 and 1; none if it is not."""
        quality = next(iter(self.objectives))
        return frozenset({quality} if self.label == ERROR else ())

    @property
    def errors(self) -> pd.Series:
        """The column of errors."""
        return self.table[ERRORS]

    @property
    def seen(self) -> int:
        """Number of evaluations, including those without a result."""
        return len(self.rows)

    @property
    def attempts(self) -> pd.DataFrame:
        """All evaluations; objectives are missing without a result or if a limit is exceeded."""
        admitted = self.admitted
        values = {name: admitted[name].reindex(self.rows.index) for name in self.objectives}
        return self.rows.assign(**values)

    @property
    def known(self) -> int:
        """Number of networks with a finite error."""
        return int(np.isfinite(floats(self.errors)).sum())

    @property
    def admitted(self) -> pd.DataFrame:
        """The networks that satisfy the search's limits; all of them if it had no limits."""
        return within_limits(self.table)

    def where(self, name: str, mask: pd.Series) -> Population:
        """Return the networks that a mask over `table` selects as a population of that name."""
        table = self.table[mask.to_numpy(dtype=bool)]
        return replace(self, name=name, table=table, rows=table)


@dataclass(frozen=True)
class ReadOptions:
    """How to interpret the columns of a table.

    Attributes:
        error: Column to minimize; inferred if None.
        score: Column to maximize, instead of `error`; inferred if None.
        variables: Columns of the design variables; those that begin with ``x.`` if empty.
        costs: Columns to minimize as well, for fronts; the first of `COSTS` if empty.
        study: Study of an Optuna storage; None if the storage has only one.
    """

    error: str | None = None
    score: str | None = None
    variables: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    study: str | None = None


COSTS = ("latency_ms", "madds", "params")
"""Columns used as the cost axis of fronts, in order of preference."""


def read_population(source: str, reading: ReadOptions | None = None) -> Population:
    """Read a run directory, a table (.csv, .parquet, .json) or an Optuna storage (a URL).

    Args:
        source: A path, or a URL such as ``sqlite:///study.db``.
        reading: How to interpret the columns; inferred from their names if None.

    Raises:
        AnalysisError: If the source cannot be read, or has no known error or score column.
    """
    reading = reading or ReadOptions()
    if "://" in source:
        study = read_study(source, reading.study)
        return _population(
            name=study.name,
            table=study.rows[study.complete],
            reading=reading,
            rows=study.rows,
            directions=study.directions,
        )
    if reading.study is not None:
        raise AnalysisError(
            f"--study chooses among the studies of an Optuna storage, but {source} is not one"
        )
    path = Path(source)
    if path.is_dir():
        run = read_run(path)
        if run.trials.empty:
            raise AnalysisError(
                f"{path / 'trials.csv'} has no rows: no trial has ended yet, or they were lost, "
                f"and python -m nas.search --resume {shlex.quote(source)} writes them again"
            )
        return population_of(run, reading)
    table = read_file(path)
    return _population(printable(path.stem), table, reading, table)


def read_populations(
    sources: Sequence[str], reading: ReadOptions | None = None
) -> list[Population]:
    """Read several sources; populations of the same name are qualified by their sources.

    Raises:
        AnalysisError: see `read_population`.
    """
    populations = [read_population(source, reading) for source in sources]
    names = [population.name for population in populations]
    return with_unique_names(
        [
            population
            if names.count(population.name) == 1
            else replace(population, name=f"{population.name} ({printable(source)})")
            for population, source in zip(populations, sources, strict=True)
        ]
    )


def with_unique_names(populations: Sequence[Population]) -> list[Population]:
    """Return the populations, with a number appended to names that occurred before."""
    renamed: dict[str, Population] = {}
    for population in populations:
        name, count = population.name, 1
        while name in renamed:
            count += 1
            name = f"{population.name} #{count}"
        renamed[name] = replace(population, name=name)
    return list(renamed.values())


def population_of(run: Run, reading: ReadOptions | None = None) -> Population:
    """Return the networks of a run that have a result.

    Args:
        run: The run; of several devices, the first one counts.
        reading: How to interpret the columns; scores and latencies are the objectives if None.

    Raises:
        AnalysisError: If a named column is missing or not numeric.
    """
    reading, run = reading or ReadOptions(), run.on(run.devices[0])
    keys = ("data", "device", "estimator")
    about = {key: str(run.config[key]) for key in keys if key in run.config} | run.facts
    context: dict[str, Any] = {"references": run.references, "limits": run.limits, "about": about}
    name, completed = printable(run.path.name), run.completed
    if reading.error or reading.score or reading.costs:
        shares = SHARES | {"score"} if run.by_accuracy else SHARES
        return replace(_population(name, completed, reading, run.trials, shares=shares), **context)
    # As estimated: what is believed of a network follows from the variables that statistics look
    # at, which would find in it what the model put there.
    errors = (1 if run.by_accuracy else 0) - completed[RAW_SCORE]
    table, variables = _with_variables(completed.assign(**{ERRORS: errors}), reading)
    return Population(
        name=name,
        table=table,
        label=ERROR if run.by_accuracy else f"{NEGATED}{run.label}",
        objectives=dict(OBJECTIVES),
        variables=variables,
        rows=run.trials,
        **context,
    )


def _population(
    name: str,
    table: pd.DataFrame,
    reading: ReadOptions,
    rows: pd.DataFrame,
    directions: Mapping[str, Direction] | None = None,
    shares: Collection[str] = SHARES,
) -> Population:
    """Return a table as a population.

    Args:
        name: Name of the population.
        table: Networks with a result.
        reading: How to interpret the columns.
        rows: All evaluations.
        directions: Direction by objective column of a study.
        shares: Columns that hold accuracies if their values lie between 0 and 1.
    """
    directions = directions or {}
    quality, direction = _quality_column(table, reading, directions)
    values = pd.Series(numbers(table, [quality])[:, 0], index=table.index)
    within = bool(values.min() >= 0 and values.max() <= 1)
    if direction == "min":
        errors, label = values, quality
        if quality == ERROR and not within:
            label = f"{ERROR}, as given"  # the label `ERROR` would be drawn in percent
    elif quality in shares and within:
        errors, label = 1 - values, ERROR
    else:
        errors, label = -values, f"{NEGATED}{quality}"
    objectives = {quality: direction, **_costs(table, reading, directions, quality)}
    table, variables = _with_variables(table.assign(**{ERRORS: errors}), reading)
    return Population(
        name=name,
        table=table,
        label=label,
        objectives=objectives,
        variables=variables,
        rows=rows,
    )


def _quality_column(
    table: pd.DataFrame, reading: ReadOptions, directions: Mapping[str, Direction]
) -> tuple[str, Direction]:
    """Return the column of the error or score of networks, and its direction."""
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
        recognized = [name for name in directions if directions[name] == usual.get(name)]
        first = (recognized or list(directions))[0]
        return first, directions[first]
    present = [name for name in usual if name in table]
    # A column of error messages, or one that nobody filled, is not what networks are judged by.
    usable = [name for name in present if is_numeric(table[name]) and table[name].notna().any()]
    if not present:
        raise AnalysisError(
            "no known error or score column was found; name one with --error COLUMN or --score "
            f"COLUMN; the columns are {', '.join(map(str, table.columns))}"
        )
    first = (usable or present)[0]
    if first == ERROR and len(usable) > 1:
        _check_order(table, usable[1])
    return first, usual[first]


def _check_order(table: pd.DataFrame, score: str) -> None:
    """Refuse a table whose errors and scores rank networks differently.

    Its errors may be something else, such as the uncertainty of the scores.
    """
    values = numbers(table, [ERROR, score])
    values = values[np.isfinite(values).all(axis=1)]
    ordered = values[np.lexsort((-values[:, 1], values[:, 0]))]
    if (np.diff(ordered[:, 1]) > 1e-9 * np.abs(ordered[:, 1]).max(initial=0)).any():
        raise AnalysisError(
            f"the columns '{ERROR}' and '{score}' rank networks differently; choose one with "
            f"--error {ERROR} or --score {score}"
        )


def _costs(
    table: pd.DataFrame, reading: ReadOptions, directions: Mapping[str, Direction], quality: str
) -> dict[str, Direction]:
    """Return the cost objectives: the named ones, the study's own, or the first of `COSTS`."""
    if quality in reading.costs:
        raise AnalysisError(f"'{quality}' cannot be both the error or score and a cost; remove one")
    if reading.costs:
        numbers(table, reading.costs)  # raises an error for text
        return {name: directions.get(name, "min") for name in reading.costs}
    others = {name: directions[name] for name in directions if name != quality}
    if others:
        return others
    present = [cost for cost in COSTS if cost in table and cost != quality]
    return dict.fromkeys(present[:1], "min")


def _with_variables(
    table: pd.DataFrame, reading: ReadOptions
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table with derived columns of its kernel mixes, and its design variables."""
    check_columns(table, list(reading.variables))
    variables = reading.variables or [n for n in map(str, table) if n.startswith(VARIABLE)]
    return _summarize_mixes(table, tuple(dict.fromkeys(variables)))


def network_name(row: pd.Series) -> str:
    """Return the name of a row's network."""
    if "name" in row:
        return str(row["name"])
    return trial_name(row["number"]) if "number" in row else f"row {row.name}"


KERNELS = "kernels"
"""Suffix of the columns that hold kernel mixes such as ``3.5.7``."""


def _summarize_mixes(
    table: pd.DataFrame, variables: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Replace kernel mixes among the variables by their mean kernel and number of groups.

    A space has about a hundred mixes, too many for a population to hold several networks of each.
    """
    replaced: list[str] = []
    added: dict[str, pd.Series] = {}
    for name in variables:
        if not name.endswith(KERNELS):
            replaced.append(name)
            continue
        stem = name.removesuffix(KERNELS)
        mixes = [_kernel_sizes(text) for text in table[name]]
        means = [sum(mix) / len(mix) if mix else None for mix in mixes]
        groups = [len(mix) if mix else None for mix in mixes]
        for suffix, values in (("mean_kernel", means), ("kernel_groups", groups)):
            added[stem + suffix] = pd.Series(values, index=table.index, dtype=float)
            replaced.append(stem + suffix)
    return table.assign(**added), tuple(replaced)


def _kernel_sizes(mix: Any) -> list[int]:
    parts = str(mix).split(".") if isinstance(mix, str | int) else []
    return [int(part) for part in parts if part.isdecimal() and len(part) < 4]
