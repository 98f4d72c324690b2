"""A comparison of networks: the same training of each, one after another, in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import nn

from nas.data import load_data
from nas.errors import MixnasError
from nas.files import parsing
from nas.train.full_training import CHECKPOINT, read_log
from nas.train.optimisers import open_optimiser
from nas.train.placement import release_memory
from nas.train.settings import SharedSettings, TrainingSettings
from nas.train.zoo.results import results_table, write_results

if TYPE_CHECKING:
    from filelock import FileLock

NOT_YET = "not trained yet"
Train = Callable[[Path, TrainingSettings], Mapping[str, Any]]
"""Trains a network in its folder, or goes on with what is there; returns the card."""


@dataclass
class Zoo:
    """A comparison and its folder, which holds a folder of each network's training.

    What has been trained is known by its ``card.json``, which a training writes at its end; so the
    comparison goes on wherever it was interrupted.

    Attributes:
        path: Folder of the comparison.
        trainings: Settings of the trainings, by the name of the network.
        lock: Lock of the folder.
        problems: Why networks could not be trained, by their names.
    """

    path: Path
    trainings: Mapping[str, TrainingSettings]
    lock: FileLock | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Return the folder of a network's training."""
        return self.path / name.replace(":", "-")

    def card(self, name: str) -> dict[str, Any] | None:
        """Return the card of a network; None if it has not been trained to the end.

        Raises:
            MixnasError: If the card is damaged.
        """
        path = self.folder(name) / "card.json"
        if not path.is_file():
            return None
        with parsing(path):
            card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return card

    def queue(self) -> list[str]:
        """Return the names of the networks that are still to be trained, in order.

        A network whose training ended before its first checkpoint may have ended the process, for
        want of memory. It comes last, so that the others are trained first.
        """
        waiting = [name for name in self.trainings if self.card(name) is None]
        return sorted(waiting, key=self._ended_early)

    def _ended_early(self, name: str) -> bool:
        folder = self.folder(name)
        return folder.is_dir() and not (folder / CHECKPOINT).is_file()

    def run(self, train: Train, say: Callable[[str], None]) -> pd.DataFrame:
        """Train the networks that have not been trained, and write the results after each.

        Args:
            train: Trains a network.
            say: Tells the user what is going on.

        Returns:
            The table of all networks (see `results_table`).
        """
        queue, total = self.queue(), len(self.trainings)
        for number, name in enumerate(queue, total - len(queue) + 1):
            say(f"network {number} of {total}: {name}")
            problem = _problem(train, self.folder(name), self.trainings[name])
            release_memory()
            if problem is not None:
                self.problems[name] = problem
                say(f"{name} was not trained: {problem}")
            self.write()
        if not queue:  # an earlier process may not have come to it
            self.write()
        return self.table()

    def table(self) -> pd.DataFrame:
        """Return the table of what has been trained so far (see `results_table`)."""
        problems = {name: self.problems.get(name, NOT_YET) for name in self.trainings}
        return results_table({name: self.card(name) for name in self.trainings}, problems)

    def write(self) -> None:
        """Write the table and the figure of what has been trained so far."""
        table = self.table()
        trained = table["network"][table["problem"].isna()]
        logs = {name: pd.DataFrame(read_log(self.folder(name) / "log.csv")) for name in trained}
        write_results(self.path, table, logs)


def check_shared(settings: SharedSettings) -> None:
    """Check the data set and the optimizer, with which no network could be trained otherwise.

    Raises:
        MixnasError: If one of them is unknown or cannot be used.
    """
    load_data(settings.data, settings.images_per_class)
    open_optimiser(nn.Linear(2, 2), settings.recipe)


def _problem(train: Train, folder: Path, settings: TrainingSettings) -> str | None:
    """Train a network; return why that failed, or None.

    Whatever is wrong with one network, the others are trained.
    """
    try:
        train(folder, settings)
    except MixnasError as error:
        return " ".join(str(error).split())
    except Exception as error:  # layers and allocators raise all kinds
        first = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first}" if first else type(error).__name__
    return None
