"""Reading what a search left behind."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.errors import AnalysisError, is_numeric
from analysis.read.files import read_table
from analysis.read.limits import Bound, bounds
from analysis.schema import LIMITED
from analysis.statistics.fronts import Direction
from analysis.statistics.retraining import RETRAINING_COLUMNS

_TRUTHS = {"true": True, "1": True, "1.0": True, "yes": True}
_TRUTHS |= dict.fromkeys(("false", "0", "0.0", "no", "nan", "none", ""), False)
CONFIG = ("space", "data", "device", "command")
NUMBERS = (
    "params",
    "madds",
    "accuracy",
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
)
REQUIRED_COLUMNS = ("state", "reason", "spec_hash", *NUMBERS)
OBJECTIVES: dict[str, Direction] = {"score": "max", "latency_ms": "min"}


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        path: its folder.
        config: what it was asked to do.
        trials: one row a trial, whatever became of it.
        references: the reference networks, in the same columns, named.
        retrained: one row a retraining of the best; see `analysis.statistics.retraining`.
        conditions: what its figures rest on: machine, versions, data; empty where not known.
        best: name of the trial whose network is in `best.yaml`, or nothing.
    """

    path: Path
    config: dict[str, Any]
    trials: pd.DataFrame
    references: pd.DataFrame
    retrained: pd.DataFrame
    conditions: dict[str, Any]
    best: str

    @property
    def completed(self) -> pd.DataFrame:
        """The trials that have a score and a latency."""
        return self.trials[self.trials["state"] == "complete"]

    @property
    def limits(self) -> dict[str, str]:
        """What the search keeps within, as it was given, by metric."""
        given = self.config.get("limits")
        return {str(m): str(t) for m, t in given.items()} if isinstance(given, dict) else {}

    @property
    def bounds(self) -> dict[str, Bound]:
        """The same as numbers, by column."""
        return bounds(self.limits)

    @property
    def by_accuracy(self) -> bool:
        """Whether networks were ranked by their accuracy."""
        return bool((self.completed["score"] == self.completed["accuracy"]).all())

    @property
    def label(self) -> str:
        """What the scores are called."""
        if self.by_accuracy:
            return "validation accuracy"
        return f"score of {self.config.get('estimator', 'the estimator')}"

    def score_text(self, score: float) -> str:
        """Write a score: one that is an accuracy in percent."""
        return score_text(score, self.by_accuracy)


def within_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the networks that keep the search's limits; all where none are told of.

    A network of which it is not known does not count.

    Raises:
        AnalysisError: when the column holds neither true nor false.
    """
    if LIMITED not in table:
        return table
    known = table[LIMITED].map(lambda cell: _TRUTHS.get(str(cell).strip().lower()))
    if known.isna().any():
        odd = table.loc[known.isna(), LIMITED].iloc[0]
        raise AnalysisError(f"the column '{LIMITED}' holds '{odd}'; it wants true or false")
    return table[known.astype(bool)]


def score_text(score: float | None, is_accuracy: bool) -> str:
    """Write a score: one that is an accuracy in percent, none as a dash."""
    if score is None or pd.isna(score):
        return "-"
    return f"{100 * score:.1f}%" if is_accuracy else f"{score:.4g}"


def plain(value: Any) -> Any:
    """Return data as JSON can hold it: what is not finite as None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(data: Any) -> str:
    """Return data as JSON text; what is not finite as null."""
    return json.dumps(plain(data), indent=2, allow_nan=False, default=_python)


def _python(value: Any) -> Any:
    return plain(value.item()) if hasattr(value, "item") else str(value)


def read_run(path: Path) -> Run:
    """Read a run directory.

    Raises:
        AnalysisError: when it is none, or a file in it is damaged.
    """
    try:
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        trials = read_table(path / "trials.csv")
        references = path / "references.csv"
        table = read_table(references) if references.is_file() else trials.head(0)
        again = path / "confirmed.csv"
        retrained = (
            pd.read_csv(again) if again.is_file() else pd.DataFrame(columns=RETRAINING_COLUMNS)
        )
        file = path / "conditions.yaml"
        conditions = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        best = _best(path)
    except NotADirectoryError:
        raise AnalysisError(f"{path} is no run directory but a file") from None
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise AnalysisError(f"{path} is no finished run directory: it has no {name}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise AnalysisError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict) or not config.keys() >= set(CONFIG):
        raise AnalysisError(f"{path / 'config.yaml'} is damaged: it needs {', '.join(CONFIG)}")
    if not isinstance(conditions, dict):
        raise AnalysisError(f"{file} is damaged: it is no mapping")
    for name, rows in (("trials", trials), ("references", table)):
        _check(rows, path / f"{name}.csv")
    lacking = set(RETRAINING_COLUMNS) - set(retrained.columns)
    if lacking:
        raise AnalysisError(f"{again} is damaged: it has no column '{min(lacking)}'")
    scored = (_scored(trials), _scored(table))
    return Run(path, config, *scored, retrained, conditions, best)


def _best(path: Path) -> str:
    """Return which trial `best.yaml` is of: its network is named SPACE_trial_NUMBER."""
    file = path / "best.yaml"
    if not file.is_file():
        return ""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    name = str(document.get("name", "")) if isinstance(document, dict) else ""
    _, found, number = name.rpartition("_trial_")
    return f"trial_{number}" if found else ""


def _scored(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table of an earlier version its scores, which were accuracies."""
    return table if "score" in table else table.assign(score=table["accuracy"])


def _check(table: pd.DataFrame, path: Path) -> None:
    """Raise when a table lacks a column, or has text among numbers."""
    named = "number" if path.name == "trials.csv" else "name"
    wanted = (named, *REQUIRED_COLUMNS) if len(table) else REQUIRED_COLUMNS
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise AnalysisError(f"{path} is damaged: it has no column '{missing[0]}'")
    for column in (name for name in (*NUMBERS, "score") if name in table):
        if not is_numeric(table[column]):
            raise AnalysisError(f"{path} is damaged: column '{column}' holds text")
