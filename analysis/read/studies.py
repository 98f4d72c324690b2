"""Tables from Optuna's storages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.schema import LIMITED, VARIABLE
from analysis.statistics.fronts import Direction


@dataclass(frozen=True)
class StudyTable:
    """A study's trials.

    Attributes:
        name: of the study.
        rows: one row a trial, in the order they began: parameters as ``x.*``, values, what users
            noted of them, ``state``; ``within_limits`` where the study has constraints.
        directions: of the values, by column.
    """

    name: str
    rows: pd.DataFrame
    directions: dict[str, Direction]

    @property
    def complete(self) -> pd.Series:
        """Which rows have a result."""
        return self.rows["state"] == "complete"


def read_study(url: str, name: str | None) -> StudyTable:
    """Read a study; a URL may hold a password, so that none is repeated in messages.

    Args:
        url: of the storage.
        name: of the study; the only one there is if None.

    Raises:
        AnalysisError: when there is no such storage or study, or it has no completed trial.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_sqlite(url)
    try:
        storage = optuna.storages.get_storage(url)
        names = optuna.get_all_study_names(storage)
        if name is None and len(names) != 1:
            there = ", ".join(names) or "none"
            raise AnalysisError(f"which study of the storage? Name it with --study; it has {there}")
        if name is not None and name not in names:
            raise AnalysisError(f"the storage has no study '{name}'; it has {', '.join(names)}")
        study = optuna.load_study(study_name=name or names[0], storage=storage)
        trials = study.get_trials(deepcopy=False)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0].replace(url, "the URL")
        raise AnalysisError(f"the Optuna storage cannot be read: {reason}") from None
    values = study.metric_names or _value_names(len(study.directions))
    maximised = [d == optuna.study.StudyDirection.MAXIMIZE for d in study.directions]
    rows = pd.DataFrame([_trial_row(trial, values) for trial in trials])
    if LIMITED in rows:
        rows[LIMITED] = rows[LIMITED].fillna(value=True).astype(bool)  # without constraints
    found = StudyTable(
        study.study_name,
        rows,
        {key: "max" if up else "min" for key, up in zip(values, maximised, strict=True)},
    )
    if not len(found.rows) or not found.complete.any():
        raise AnalysisError(f"the study '{study.study_name}' has no completed trial")
    return found


def _check_sqlite(url: str) -> None:
    """Refuse a file that is no storage, which Optuna would make one of."""
    file = url.removeprefix("sqlite:///")
    if file == url:
        return
    path = Path(file.partition("?")[0])
    if not path.is_file():
        raise AnalysisError(f"{path}: no such file")
    asked = "SELECT name FROM sqlite_master WHERE name = 'studies'"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            known = database.execute(asked).fetchone()
    except sqlite3.Error as error:
        raise AnalysisError(f"{path} is no Optuna storage: {error}") from None
    if known is None:
        raise AnalysisError(f"{path} is no Optuna storage: it has no studies")


def _value_names(objectives: int) -> list[str]:
    return ["value"] if objectives == 1 else [f"value_{i}" for i in range(objectives)]


def _trial_row(trial: Any, names: list[str]) -> dict[str, Any]:
    """Return a trial's cells; what users noted in mappings is taken out of these."""
    complete = trial.state.name == "COMPLETE"
    noted: dict[str, Any] = {}
    for key, value in trial.user_attrs.items():
        inner = value.items() if isinstance(value, dict) else [(key, value)]
        noted |= {k: v for k, v in inner if isinstance(v, str | int | float) and k not in noted}
    row = {
        "number": trial.number,
        **noted,
        **{f"{VARIABLE}{key}": value for key, value in trial.params.items()},
        **dict(zip(names, trial.values if complete else [None] * len(names), strict=True)),
        "state": trial.state.name.lower(),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
    }
    if trial.constraints:
        row[LIMITED] = all(excess <= 0 for excess in trial.constraints.values())
    return row
