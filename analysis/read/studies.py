"""Reading the trials of Optuna studies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from analysis.document import reason
from analysis.errors import AnalysisError
from analysis.printable import printable
from analysis.read.files import clean_table
from analysis.schema import LIMITED, VARIABLE, Direction
from analysis.units import number_of

OWN = ("number", "state", "seconds")
"""Columns that a trial has whatever its attributes are called."""


@dataclass(frozen=True)
class StudyTable:
    """The trials of a study.

    Attributes:
        name: Name of the study.
        rows: One row per trial, in the order in which they began: ``number``, user attributes,
            parameters as ``x.*``, objective values, ``state`` and ``seconds``; ``within_limits``
            if the study has constraints.
        directions: Direction by objective column.
    """

    name: str
    rows: pd.DataFrame
    directions: dict[str, Direction]

    @property
    def complete(self) -> pd.Series:
        """Mask of the rows that have a result."""
        return self.rows["state"] == "complete"


def read_study(url: str, name: str | None) -> StudyTable:
    """Read a study.

    Messages never repeat the URL, since it may contain a password.

    Args:
        url: URL of the storage.
        name: Name of the study; None if the storage has only one.

    Raises:
        AnalysisError: If the storage or study does not exist, the storage has several studies and
            none is named, or the study has no completed trial.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = False
    with TemporaryDirectory(prefix="mixnas-") as folder:
        try:
            storage = optuna.storages.RDBStorage(_own_copy(url, Path(folder)))
            opened = True
            try:
                return _read(storage, name)
            finally:
                storage.engine.dispose()  # a server has few connections to give
        except AnalysisError:
            raise
        except Exception as error:  # Optuna and the database raise whatever damage they come upon
            said = reason(error).replace(url, "the URL")
            if opened and not isinstance(error, SQLAlchemyError | OSError):
                raise AnalysisError(
                    "the Optuna storage is damaged; reading it ended with "
                    f"{type(error).__name__}: {said}"
                ) from None
            kind = "" if isinstance(error, ValueError) else f" ({type(error).__name__})"
            raise AnalysisError(f"the Optuna storage cannot be read: {said}{kind}") from None


def _read(storage: Any, name: str | None) -> StudyTable:
    import optuna

    names = optuna.get_all_study_names(storage)
    if name is None and len(names) != 1:
        raise AnalysisError(
            f"name a study of the storage with --study; it has {', '.join(names) or 'none'}"
        )
    if name is not None and name not in names:
        raise AnalysisError(f"the storage has no study '{name}'; it has {', '.join(names)}")
    table = _study_table(optuna.load_study(study_name=name or names[0], storage=storage))
    if not len(table.rows) or not table.complete.any():
        raise AnalysisError(f"the study '{table.name}' has no completed trial")
    return table


def _study_table(study: Any) -> StudyTable:
    import optuna

    objectives = _objective_names(study)
    maximized = [d == optuna.study.StudyDirection.MAXIMIZE for d in study.directions]
    rows = [_trial_row(trial, objectives) for trial in study.get_trials(deepcopy=False)]
    table = clean_table(pd.DataFrame(rows))
    if LIMITED in table:
        # A trial without constraints violates none.
        table[LIMITED] = [True if pd.isna(cell) else cell for cell in table[LIMITED]]
    return StudyTable(
        printable(study.study_name),
        table,
        {key: "max" if up else "min" for key, up in zip(objectives, maximized, strict=True)},
    )


def _own_copy(url: str, folder: Path) -> str:
    """Return the URL of a copy of a SQLite file, made by reading alone; other URLs as they are.

    Optuna creates a file that is missing, and adds the tables that it misses, also to another
    program's database and to a storage of another version.

    Raises:
        AnalysisError: If the file is missing or is not a storage.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        return url  # Optuna says what is wrong with it
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return url
    path = Path(parsed.database)
    if not path.is_file():
        raise AnalysisError(f"{path}: no such file")
    copy = folder / "study.db"
    query = "SELECT name FROM sqlite_master WHERE name = 'studies'"
    source = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(source, uri=True)) as database,
            closing(sqlite3.connect(copy)) as target,
        ):
            studies = database.execute(query).fetchone()
            if studies is not None:
                database.backup(target)
    except sqlite3.Error as error:
        raise AnalysisError(f"{path} is not an Optuna storage: {error}") from None
    if studies is None:
        raise AnalysisError(f"{path} is not an Optuna storage: it has no studies")
    return f"sqlite:///{copy}"


def _objective_names(study: Any) -> list[str]:
    """Return the column names of a study's objectives, whether or not it names them.

    Raises:
        AnalysisError: If a name cannot be that of a column.
    """
    count = len(study.directions)
    names = study.metric_names
    if names is None:
        return ["value"] if count == 1 else [f"value_{i}" for i in range(count)]
    names = [printable(str(name)) for name in names]
    clash = set(names) & set(OWN)
    if len(names) != count or len(set(names)) < count or clash:
        raise AnalysisError(
            f"the study '{study.study_name}' calls its {count} objectives {', '.join(names)}; "
            f"give each a name of its own, other than {', '.join(OWN)}"
        )
    return names


def _trial_row(trial: Any, objectives: list[str]) -> dict[str, Any]:
    """Return a trial's cells; user attributes that are mappings become one cell per key.

    Raises:
        AnalysisError: If a complete trial does not have a value for each objective.
    """
    complete = trial.state.name == "COMPLETE"
    attributes: dict[str, Any] = {}
    for key, value in trial.user_attrs.items():
        for name, cell in value.items() if isinstance(value, dict) else [(key, value)]:
            if isinstance(cell, str | int | float) and name not in OWN:
                attributes.setdefault(name, cell)
    values = list(trial.values or ()) if complete else [None] * len(objectives)
    if len(values) != len(objectives):
        raise AnalysisError(
            f"the study is damaged: trial {trial.number} is complete, but has "
            f"{number_of(len(values), 'value')} for {number_of(len(objectives), 'objective')}"
        )
    row = {
        "number": trial.number,
        **attributes,
        **{f"{VARIABLE}{key}": value for key, value in trial.params.items()},
        **dict(zip(objectives, values, strict=True)),
        "state": trial.state.name.lower(),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
    }
    if trial.constraints:
        row[LIMITED] = all(excess <= 0 for excess in trial.constraints.values())
    return row
