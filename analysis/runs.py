"""Reading what a search left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.errors import AnalysisError
from analysis.fronts import Direction

CONFIG = ("space", "data", "device", "command")
NUMBERS = (
    "params",
    "madds",
    "accuracy",
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
)
COLUMNS = ("state", "reason", "spec_hash", *NUMBERS)
OBJECTIVES: dict[str, Direction] = {"accuracy": "max", "latency_ms": "min"}


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        path: its folder.
        config: what it was asked to do.
        trials: one row a trial, whatever became of it.
        references: the reference networks, in the same columns, named.
    """

    path: Path
    config: dict[str, Any]
    trials: pd.DataFrame
    references: pd.DataFrame

    @property
    def completed(self) -> pd.DataFrame:
        """The trials that have an accuracy and a latency."""
        return self.trials[self.trials["state"] == "complete"]


def read_run(path: Path) -> Run:
    """Read a run directory.

    Raises:
        AnalysisError: when it is none, or a file in it is damaged.
    """
    try:
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        trials = pd.read_csv(path / "trials.csv")
        references = path / "references.csv"
        table = pd.read_csv(references) if references.is_file() else trials.head(0)
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise AnalysisError(f"{path} is no finished run directory: it has no {name}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise AnalysisError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict) or not config.keys() >= set(CONFIG):
        raise AnalysisError(f"{path / 'config.yaml'} is damaged: it needs {', '.join(CONFIG)}")
    for name, rows in (("trials", trials), ("references", table)):
        _check(rows, path / f"{name}.csv")
    return Run(path, config, trials, table)


def _check(table: pd.DataFrame, path: Path) -> None:
    """Raise when a table lacks a column, or has text among numbers."""
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise AnalysisError(f"{path} is damaged: it has no column '{missing[0]}'")
    for column in NUMBERS:
        if len(table) and not pd.api.types.is_numeric_dtype(table[column]):
            raise AnalysisError(f"{path} is damaged: column '{column}' holds text")
