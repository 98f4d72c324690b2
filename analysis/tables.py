"""Populations of networks from run directories, files and Optuna's storages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, check_columns
from analysis.fronts import Direction
from analysis.runs import OBJECTIVES, Run, read_run, read_table, within_limits

VARIABLE = "x."
"""Begins the columns of design variables."""
ACCURACIES = ("score", "accuracy", "top1", "test_accuracy")
"""Columns that are taken for what is to be maximised, in this order."""
ERROR = "error"
NEGATED = "less "
"""Begins the label of errors that are scores with their sign turned."""


@dataclass(frozen=True)
class Population:
    """Networks of one space, or of one search.

    Attributes:
        name: what it is called in tables and figures.
        table: one row a network that was judged, with the column ``error``, the lower the better.
        label: what the error is, for axes.
        objectives: direction by column, for fronts.
        variables: columns of the design variables.
        seen: rows that the source holds, the ones without a result included.
        references: networks to compare with, in the same columns, named.
        limits: of the search, as they were given, by metric.
    """

    name: str
    table: pd.DataFrame
    label: str
    objectives: dict[str, Direction]
    variables: tuple[str, ...]
    seen: int
    references: pd.DataFrame = field(default_factory=pd.DataFrame)
    limits: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> pd.Series:
        """The column of errors."""
        return self.table[ERROR]

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
        return replace(
            self, name=name, table=self.table[kept.to_numpy(dtype=bool)], seen=int(kept.sum())
        )


@dataclass(frozen=True)
class Reading:
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


def read_population(source: str, reading: Reading | None = None) -> Population:
    """Read a run directory, a table (.csv, .parquet, .json) or an Optuna storage (a URL).

    Args:
        source: a path, or a URL such as ``sqlite:///study.db``.
        reading: how; found out from the columns' names if None.

    Raises:
        AnalysisError: when it cannot be read, or it is not clear which column is the error.
    """
    reading = reading or Reading()
    if "://" in source:
        name, table = _study(source, reading.study)
        return _population(name, table, reading, len(table))
    path = Path(source)
    if path.is_dir():
        return population_of(read_run(path), reading)
    table = _file(path)
    return _population(path.stem, table, reading, len(table))


def read_populations(sources: Sequence[str], reading: Reading | None = None) -> list[Population]:
    """Read several; those of the same name are told apart by their sources.

    Raises:
        AnalysisError: see `read_population`.
    """
    found = [read_population(source, reading) for source in sources]
    names = [population.name for population in found]
    return [
        population
        if names.count(population.name) == 1
        else replace(population, name=f"{population.name} ({source})")
        for population, source in zip(found, sources, strict=True)
    ]


def population_of(run: Run, reading: Reading | None = None) -> Population:
    """Return the networks of a run that were judged."""
    reading = reading or Reading()
    path = run.path
    if reading.error or reading.score or reading.costs:
        found = _population(path.name, run.completed, reading, len(run.trials))
        return replace(found, references=run.references, limits=run.limits)
    label = "error" if run.by_accuracy else f"{NEGATED}{run.label}"
    error = (1 if run.by_accuracy else 0) - run.completed["score"]
    table = run.completed.assign(**{ERROR: error})
    table, variables = _told_apart(table, _variables(table, reading))
    return Population(
        path.name,
        table,
        label,
        dict(OBJECTIVES),
        variables,
        len(run.trials),
        run.references,
        run.limits,
    )


def _population(name: str, table: pd.DataFrame, reading: Reading, seen: int) -> Population:
    """Name the parts of a table."""
    minimised, maximised = _judged_by(table, reading)
    if not pd.api.types.is_numeric_dtype(table[minimised or maximised]):
        raise AnalysisError(f"the column '{minimised or maximised}' of {name} holds text")
    if minimised is not None:
        errors, label = table[minimised], minimised
        if label == ERROR and float(errors.max()) > 1:  # no share: not to be drawn in percent
            label = f"{ERROR}, as given"
    else:
        shares = maximised != "score" and float(table[maximised].max()) <= 1
        errors = (1 if shares else 0) - table[maximised]
        label = ERROR if shares else f"{NEGATED}{maximised}"
    objectives: dict[str, Direction] = {}
    if minimised is not None:
        objectives[minimised] = "min"
    else:
        objectives[str(maximised)] = "max"
    check_columns(table, list(reading.costs))
    costs = reading.costs or tuple(cost for cost in COSTS if cost in table)[:1]
    objectives |= dict.fromkeys(costs, "min")
    table, variables = _told_apart(table, _variables(table, reading))
    table = table.assign(**{ERROR: errors.astype(float)})
    return Population(name, table, label, objectives, variables, seen)


def _judged_by(table: pd.DataFrame, reading: Reading) -> tuple[str | None, str | None]:
    """Return the column that is to be minimised, or the one that is to be maximised."""
    if reading.error and reading.score:
        raise AnalysisError("give --error or --score, not both")
    check_columns(table, [name for name in (reading.error, reading.score) if name])
    if reading.error or reading.score:
        return reading.error, reading.score
    if ERROR in table:
        return ERROR, None
    found = [name for name in ACCURACIES if name in table]
    if not found:
        raise AnalysisError(
            f"which column tells how good a network is? Name it with --error COLUMN or --score "
            f"COLUMN; there are {', '.join(map(str, table.columns))}"
        )
    return None, found[0]


def _variables(table: pd.DataFrame, reading: Reading) -> tuple[str, ...]:
    check_columns(table, list(reading.variables))
    if reading.variables:
        return reading.variables
    return tuple(str(name) for name in table if str(name).startswith(VARIABLE))


def network_name(row: pd.Series) -> str:
    """Return what a row's network is called."""
    if "name" in row:
        return str(row["name"])
    return f"trial_{row['number']}" if "number" in row else f"row {row.name}"


KERNELS = "kernels"
"""Ends the columns that hold mixes of kernels, as ``3.5.7``."""


def _told_apart(
    table: pd.DataFrame, variables: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
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


# -- sources ----------------------------------------------------------------------------------


def _file(path: Path) -> pd.DataFrame:
    """Read a table; JSON is a list of rows, or columns of lists."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": read_table,
        ".parquet": pd.read_parquet,
        ".json": _json,
    }
    if path.suffix not in readers:
        raise AnalysisError(
            f"{path}: give a run directory, a table ({', '.join(readers)}) or the URL of an "
            "Optuna storage (sqlite:///study.db)"
        )
    try:
        table = readers[path.suffix](path)
    except FileNotFoundError:
        raise AnalysisError(f"{path}: no such file or directory") from None
    except (OSError, ValueError, TypeError) as error:
        raise AnalysisError(f"{path} cannot be read: {error}") from None
    if table.empty:
        raise AnalysisError(f"{path} has no rows")
    return table


def _json(path: Path) -> pd.DataFrame:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    return pd.DataFrame(document)


def _study(url: str, name: str | None) -> tuple[str, pd.DataFrame]:
    """Read the completed trials of a study: parameters as ``x.*``, values, numbers set by users.

    A URL may hold a password, so that none is repeated in messages.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():  # SQLite would make it
        raise AnalysisError(f"{file}: no such file")
    try:
        storage = optuna.storages.get_storage(url)
        names = optuna.get_all_study_names(storage)
        if name is None and len(names) != 1:
            there = ", ".join(names) or "none"
            raise AnalysisError(f"which study of the storage? Name it with --study; it has {there}")
        if name is not None and name not in names:
            raise AnalysisError(f"the storage has no study '{name}'; it has {', '.join(names)}")
        study = optuna.load_study(study_name=name or names[0], storage=storage)
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0].replace(url, "the URL")
        raise AnalysisError(f"the Optuna storage cannot be read: {reason}") from None
    names_of_values = study.metric_names or _value_names(len(study.directions))
    maximised = [d == optuna.study.StudyDirection.MAXIMIZE for d in study.directions]
    rows = [_trial_row(trial, names_of_values) for trial in trials]
    if not rows:
        raise AnalysisError(f"the study '{study.study_name}' has no completed trial")
    table = pd.DataFrame(rows)
    if ERROR not in table and not set(ACCURACIES) & set(table):
        first = table[names_of_values[0]]
        table = table.assign(**({"score": first} if maximised[0] else {ERROR: first}))
    return study.study_name, table


def _value_names(objectives: int) -> list[str]:
    return ["value"] if objectives == 1 else [f"value_{i}" for i in range(objectives)]


def _trial_row(trial: Any, names: list[str]) -> dict[str, Any]:
    took = trial.duration.total_seconds() if trial.duration else None
    numbers = {k: v for k, v in trial.user_attrs.items() if isinstance(v, int | float)}
    parameters = {f"{VARIABLE}{k}": v for k, v in trial.params.items()}
    values = dict(zip(names, trial.values, strict=True))
    return {"number": trial.number, **numbers, **parameters, **values, "seconds": took}
