"""Confirmation: at the end of a search the best networks are retrained longer, with several seeds.

It is the only place of a search where the test part is read: once for every retrained network,
after its training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.statistics.retraining import RETRAINING_COLUMNS
from nas.accuracy.base import Estimate, EstimateError, Estimator
from nas.accuracy.naming import ANY_NUMBER, configured, parse_settings
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.zero_cost import ZeroCost
from nas.data import FolderData, load_data
from nas.document import digest
from nas.executors.local import LocalExecutor, Resources
from nas.executors.worker import Failure, Task
from nas.progress import Step
from nas.search.directory import RunDirectory, SearchConfig
from nas.spec import NetworkSpec
from nas.train.loop import TrainingError

LONGER = 2  # times what a short training costs
EPOCHS = 2  # of retraining, at least; within these numbers of images
FEWEST, MOST = 4_800, 100_000
SEEDS = 3
CONFIRMED = 2  # networks of the front, where nobody says how many
TRAINABLE = ("short", "zero-cost", "supernet")  # estimators whose networks are for the data
TRAINING = "training"  # the column that tells how a network was retrained
CONFIRMED_COLUMNS = [*RETRAINING_COLUMNS, TRAINING]


@dataclass(frozen=True)
class RetrainingEstimator:
    """Trains a network, and reads the test part at the end: an `Estimator` for the end alone.

    Attributes:
        short: how to train.
    """

    short: ShortTraining

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {**self.short.fingerprint(), "estimator": "retraining"}

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`."""
        return self.short.prepare(step)

    @property
    def test_images(self) -> int:
        """How many images the test part has."""
        data = load_data(self.short.data)
        if isinstance(data, FolderData):  # where some cannot be read
            data = data.at(self.short.resolution)
        return data.count("test")

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the score is the accuracy on the test part."""
        started = time.perf_counter()
        try:
            trainer = self.short.trainer(spec, seed)
            for _ in trainer.steps():
                pass
            validation, test = trainer.evaluate("validation"), trainer.evaluate("test")
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        seconds = round(time.perf_counter() - started, 3)
        return Estimate(validation.accuracy, validation.loss, seconds, seed, test.accuracy)


def wanted_networks(config: SearchConfig) -> int:
    """Return how many networks of the front a search retrains.

    Where nobody says, some: but only of an estimator whose networks are for the data.
    """
    if config.confirm is not None:
        return config.confirm
    kind = config.estimator.partition(":")[0]
    return CONFIRMED if config.retrain or kind in TRAINABLE else 0


def retraining(estimator: Estimator, data: str, settings: str = "") -> RetrainingEstimator:
    """Return the retraining of a search: of networks at full width, on all validation images.

    It sees the training part twice, but from 4,800 to 100,000 images, of the search's resolution.
    Where the search trains networks for a short while, it follows that recipe, and costs at least
    twice as much.

    Args:
        estimator: of the search.
        data: name of the data set.
        settings: others than these, as those of a short training.

    Raises:
        MixnasError: when there is no such setting.
    """
    train = load_data(data).count("train")
    images = min(MOST, max(FEWEST, EPOCHS * train))
    all_there_is = {"validation": ANY_NUMBER, "most_epochs": ANY_NUMBER}
    defaults: dict[str, Any] = {**all_there_is, "width": 1.0, "stages": 1}
    if isinstance(estimator, ShortTraining | ZeroCost | Supernet):
        defaults["resolution"] = estimator.resolution
    if isinstance(estimator, ShortTraining):
        defaults["recipe"] = estimator.recipe
        seen = min(estimator.images, estimator.most_epochs * train)
        images = max(images, math.ceil(LONGER * seen * estimator.width**2))
    given = {"data": data, "score": "accuracy"}
    pairs = parse_settings("--retrain", settings)
    defaults["images"] = images
    return RetrainingEstimator(configured("--retrain", ShortTraining, given, defaults, pairs))


@dataclass
class RetrainingRun:
    """Retrainings and what came of them; a run's ``confirmed.csv``.

    Attributes:
        directory: of the run.
        estimator: retrains.
        seed: of the search; retrainings use other ones.
        seeds: trainings of every network.
    """

    directory: RunDirectory
    estimator: RetrainingEstimator
    seed: int
    seeds: int = SEEDS

    def run(
        self,
        networks: dict[tuple[str, str], NetworkSpec],
        resources: Resources,
        told: Callable[[int, int], None],
    ) -> list[str]:
        """Retrain networks that were not yet.

        Args:
            networks: by name and kind (``front`` or ``reference``).
            resources: of the workers.
            told: how many trainings of how many are done.

        Returns:
            Why some trainings failed.
        """
        training = f"r{digest(self.estimator.fingerprint())}"  # not to be read as a number
        table = self._earlier(training)
        done = set(zip(table["name"], table["kind"], table["seed"], strict=True))
        wanted = {
            (name, kind, seed): Task(spec, seed)
            for seed in range(self.seed + 1, self.seed + 1 + self.seeds)
            for (name, kind), spec in networks.items()
        }
        tasks = {key: task for key, task in wanted.items() if key not in done}
        rows, failures = table.to_dict("records"), []
        images = self.estimator.test_images if tasks else 0
        with LocalExecutor(self.estimator, resources) as executor:
            for number, (key, result) in enumerate(executor.run(tasks), start=1):
                if isinstance(result, Failure):
                    failures.append(f"{key[0]}: {result.reason}")
                else:
                    found = (result.accuracy, result.score, images, result.seconds)
                    values = (*key, *found, training)
                    rows.append(dict(zip(CONFIRMED_COLUMNS, values, strict=True)))
                    self.directory.write_table(
                        "confirmed", pd.DataFrame(rows, columns=CONFIRMED_COLUMNS)
                    )
                told(len(wanted) - len(tasks) + number, len(wanted))
        return failures

    def _earlier(self, training: str) -> pd.DataFrame:
        """Return retrainings of an earlier process; those of other settings are put aside."""
        table = retrained(self.directory)
        same = table[TRAINING] == training
        for other, rows in table[~same].fillna({TRAINING: "before"}).groupby(TRAINING):
            self.directory.write_table(f"confirmed-{other}", rows)
        return table[same]


def retrained(directory: RunDirectory) -> pd.DataFrame:
    """Return a run's retrainings, one row each."""
    kept = directory.read_table("confirmed")
    return (
        pd.DataFrame(columns=CONFIRMED_COLUMNS)
        if kept is None
        else kept.reindex(columns=CONFIRMED_COLUMNS)
    )
