"""Reading what a search left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.errors import AnalysisError
from analysis.fronts import Direction

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
    return Run(path, config, trials, table)
