"""Retraining: at the end of a search the best networks are trained for longer, with several seeds.

A search reads the test split nowhere else: once per retrained network, after its training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.read.retraining import HITS_FILE, TRAINING, hits_document, read_retraining
from analysis.schema import HITS, RETRAINING_COLUMNS
from nas.accuracy.base import Estimate, EstimateError, Estimator
from nas.accuracy.memory import HALVED, with_halved_batches
from nas.accuracy.naming import ANY_NUMBER, configured, parse_settings
from nas.accuracy.sharing.pretrained import SETTING, open_pretrained, with_normalisation
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.zero_cost import ZeroCost
from nas.data import load_data
from nas.document import digest
from nas.errors import MixnasError
from nas.executors.base import Failure, Resources, Task
from nas.executors.local import LocalExecutor
from nas.named import AnyNetwork, TimmNetwork
from nas.progress import Step
from nas.search.config import (
    FEWEST_IMAGES,
    MOST_IMAGES,
    RETRAINING_EPOCHS,
    RETRAINING_SEEDS,
)
from nas.search.directory import RunDirectory
from nas.torch_model import TrainedWeights
from nas.train.loop import TrainingError
from nas.train.placement import to_host
from nas.train.settings import ON_THE_CPU, PlacementSettings

SUPERNET = "supernet"  # what a retraining may start from
LONGER = 2  # times the cost of a short training, at the least
CONFIRMED_COLUMNS = [*RETRAINING_COLUMNS, TRAINING]


@dataclass(frozen=True)
class RetrainedEstimate(Estimate):
    """The result of a retraining: validation accuracy, and as the score that on the test split.

    Attributes:
        hits: Whether each test image was classified correctly, one bit per image (`np.packbits`).
        images: Number of test images.
    """

    hits: bytes = b""
    images: int = 0


@dataclass(frozen=True)
class RetrainingEstimator:
    """Trains a network and reads the test split afterwards; an `Estimator` for the end of a search.

    Attributes:
        short: How to train.
        start: Supernet whose weights the networks of its space start from; None for none.
    """

    evaluates_timm: ClassVar[bool] = True

    short: ShortTraining
    start: Supernet | None = None

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`; it names the weights that networks start from."""
        found = {**self.short.fingerprint(), "estimator": "retraining"}
        if self.start is None:
            return found
        return {**found, "from": SUPERNET, "from_weights": self.start.fingerprint()["weights"]}

    def remarks(self, networks: Mapping[tuple[str, str], AnyNetwork]) -> list[str]:
        """Return remarks on networks that start from less than others do.

        Args:
            networks: Networks by name and kind.
        """
        if self.start is None:
            return self._remarks_on_weights(networks)
        others = {name: spec for (name, _), spec in networks.items() if not self._starts(spec)}
        if not others:
            return []
        random = (
            [name for name, spec in others.items() if isinstance(spec, TimmNetwork)]
            if self.short.weights
            else list(others)
        )
        shared = [name for name in others if name not in random]
        rest = [f"random weights for {', '.join(random)}"] if random else []
        rest += [f"parts of {self.short.weights} for {', '.join(shared)}"] if shared else []
        return [
            f"retraining starts from the weights of the supernet, but from {' and '.join(rest)}: "
            "the supernet has no weights of them, so they have seen fewer images"
        ]

    def _remarks_on_weights(self, networks: Mapping[tuple[str, str], AnyNetwork]) -> list[str]:
        """Return a remark on how much networks share with the pretrained network, if there is."""
        if not self.short.weights:
            return []
        pretrained = open_pretrained(self.short.weights)
        shares = [
            f"{name} {0 if isinstance(spec, TimmNetwork) else pretrained.share(spec):.0%}"
            for (name, _), spec in networks.items()
        ]
        return [
            f"retraining starts from what networks share with {pretrained.name}: "
            f"{', '.join(shares)} of their weights (without the classifier)"
        ]

    def _starts(self, spec: AnyNetwork) -> bool:
        """Return whether a network starts from the supernet's weights."""
        if self.start is None or isinstance(spec, TimmNetwork):
            return False
        return self.start.trained.has_room(spec)

    def _weights(self, spec: AnyNetwork, seed: int) -> TrainedWeights | None:
        """Return the weights that a network starts from; None for random ones."""
        if self.start is None or isinstance(spec, TimmNetwork) or not self._starts(spec):
            return None
        found = self.start.trained.slice_of(spec, seed)
        return TrainedWeights("the supernet", found.tensors())

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; `remarks` tells of a pretrained network."""
        return self.short.shown.prepare(self.placement.kind, step)

    @property
    def resolution(self) -> int:
        """See `side_of`."""
        return self.short.resolution

    @property
    def placement(self) -> PlacementSettings:
        """See `device_of`."""
        return self.short.placement

    def estimate(self, spec: AnyNetwork, seed: int) -> Estimate:
        """See `Estimator.estimate`; the score is the accuracy on the test split."""
        (estimate,) = with_halved_batches(lambda parts: self._estimates(spec, seed, parts))
        return estimate

    def _estimates(self, spec: AnyNetwork, seed: int, parts: int) -> Iterator[Estimate]:
        started = time.perf_counter()
        try:
            trainer = self.short.trainer(spec, seed, parts, self._weights(spec, seed))
            for _ in trainer.steps():
                pass
            hits: list[Tensor] = []
            validation, test = trainer.evaluate("validation"), trainer.evaluate("test", hits)
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        right = to_host(torch.cat(hits)).numpy().astype(bool)
        yield RetrainedEstimate(
            accuracy=validation.accuracy,
            loss=validation.loss,
            seconds=round(time.perf_counter() - started, 3),
            seed=seed,
            score=test.accuracy,
            remark=HALVED if parts > 1 else "",
            hits=np.packbits(right).tobytes(),
            images=len(right),
        )


def retraining(
    estimator: Estimator,
    data: str,
    settings: str = "",
    placement: PlacementSettings = ON_THE_CPU,
    images_per_class: int | None = None,
) -> RetrainingEstimator:
    """Return how a search retrains: at full width, evaluated on all validation images.

    A retraining passes over the training split twice, but sees at least 4,800 and at most 100,000
    images, at the search's resolution. If the search itself trains networks for a short while, the
    retraining follows the same recipe and costs at least twice as much.

    Args:
        estimator: Estimator of the search.
        data: Name or path of the data set.
        settings: Settings to change, those of `ShortTraining` (``images=200000,flip=true``); and
            ``from=supernet`` to start from the weights of the search's supernet.
            ``weights=NAME`` names a pretrained network to start from, by default that of the
            estimator if it has one; ``weights=`` starts from random weights.
        placement: Where to train, and how precisely.
        images_per_class: Number of images of each class to use, at most; None for all.

    Raises:
        MixnasError: If there is no such setting, the search has no supernet to start from, or two
            kinds of weights to start from are named.
    """
    train = load_data(data, images_per_class).count("train")
    images = min(MOST_IMAGES, max(FEWEST_IMAGES, RETRAINING_EPOCHS * train))
    unlimited = {"validation": ANY_NUMBER, "most_epochs": ANY_NUMBER}
    defaults: dict[str, Any] = {**unlimited, "width": 1.0, "stages": 1}
    if isinstance(estimator, ShortTraining | ZeroCost | Supernet):
        defaults["resolution"] = estimator.resolution
    if isinstance(estimator, ShortTraining):
        defaults["recipe"] = estimator.recipe
        seen = min(estimator.images, estimator.most_epochs * train)
        images = max(images, math.ceil(LONGER * seen * estimator.width**2))
    fixed = {
        "data": data,
        "score": "accuracy",
        "placement": placement,
        "images_per_class": images_per_class,
    }
    defaults["images"] = images
    pairs = parse_settings("--retrain", settings)
    source = pairs.pop("from", None)
    pairs = _with_weights(pairs, source, estimator)
    short = configured("--retrain", ShortTraining, fixed, defaults, pairs)
    return RetrainingEstimator(short, _start(source, estimator, short))


def _with_weights(
    pairs: dict[str, str], source: str | None, estimator: Estimator
) -> dict[str, Any]:
    """Return settings that name the pretrained network, and how images are normalized for it.

    By default, both are those of the estimator.

    Raises:
        MixnasError: If weights to start from are named twice.
    """
    if SETTING in pairs and source is not None:
        raise MixnasError(
            f"--retrain from={source} and {SETTING}={pairs[SETTING]} name different weights to "
            "start from; give one of them"
        )
    if SETTING in pairs:
        return {"normalisation": "data", **with_normalisation(pairs)}
    if isinstance(estimator, ShortTraining | Supernet):
        inherited = {
            SETTING: estimator.weights,
            "normalisation": estimator.recipe.normalisation,
        }
        return {**inherited, **pairs}
    return dict(pairs)


def _start(source: str | None, estimator: Estimator, short: ShortTraining) -> Supernet | None:
    """Return the supernet that a retraining starts from, if any.

    Raises:
        MixnasError: If the search has none, or one of networks of another width.
    """
    if source is None:
        return None
    if source != SUPERNET:
        raise MixnasError(f"--retrain from={source}: expected from={SUPERNET}")
    if not isinstance(estimator, Supernet):
        raise MixnasError(
            f"--retrain from={SUPERNET}: the search has no supernet; give --estimator {SUPERNET}, "
            f"or leave out from={SUPERNET}"
        )
    if short.width != estimator.width:
        raise MixnasError(
            f"--retrain from={SUPERNET}: the supernet has networks of width {estimator.width:g}, "
            f"but width {short.width:g} is retrained; give both the same width"
        )
    return estimator


@dataclass
class RetrainingRun:
    """The retraining of a run's best networks, and its results.

    They are in ``confirmed.csv``; ``test_hits.json`` says which test images each training run
    classified correctly, so that networks can be compared image by image.

    Attributes:
        directory: Run directory.
        estimator: Retrains the networks.
        seed: Seed of the search; retraining uses the following ones.
        seeds: Number of training runs per network.
    """

    directory: RunDirectory
    estimator: RetrainingEstimator
    seed: int
    seeds: int = RETRAINING_SEEDS

    def run(
        self,
        networks: Mapping[tuple[str, str], AnyNetwork],
        resources: Resources,
        step: Step,
    ) -> list[str]:
        """Retrain the networks that have not been retrained yet.

        Args:
            networks: Networks by name and kind (``front`` or ``reference``).
            resources: How the machine is shared among the workers.
            step: Called with the number of training runs done and their total number.

        Returns:
            The reasons why training runs failed, one line each.
        """
        # The letter keeps pandas from reading the digest as a number.
        training = f"r{digest(self.estimator.fingerprint())}"
        table = self._earlier(training)
        done = set(zip(table["name"], table["kind"], table["seed"], strict=True))
        wanted = {
            (name, kind, seed): Task(spec, seed)
            for seed in range(self.seed + 1, self.seed + 1 + self.seeds)
            for (name, kind), spec in networks.items()
        }
        tasks = {key: task for key, task in wanted.items() if key not in done}
        rows = [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]
        failures = []
        step(len(wanted) - len(tasks), len(wanted))
        with LocalExecutor(self.estimator, resources) as executor:
            for number, (key, result) in enumerate(executor.run(tasks), start=1):
                if isinstance(result, RetrainedEstimate):
                    rows.append(_row(key, result, training))
                    # Hits without a row are of no consequence, and are replaced by the next ones.
                    self.directory.write_text(HITS_FILE, hits_document(rows))
                    kept = pd.DataFrame(rows, columns=CONFIRMED_COLUMNS)
                    self.directory.write_table("confirmed", kept)
                elif isinstance(result, Failure):
                    failures.append(f"{key[0]}: {result.reason}")
                step(len(wanted) - len(tasks) + number, len(wanted))
        return failures

    def _earlier(self, training: str) -> pd.DataFrame:
        """Return the results of earlier processes; those with other settings are set aside."""
        table = retrained(self.directory)
        same = table[TRAINING] == training
        for other, rows in table[~same].fillna({TRAINING: "before"}).groupby(TRAINING):
            self.directory.write_table(f"confirmed-{other}", rows[CONFIRMED_COLUMNS])
        return table[same]


def _row(key: tuple[str, str, int], result: RetrainedEstimate, training: str) -> dict[str, Any]:
    """Return a training run as a row of the table, with its hits."""
    values = (*key, result.accuracy, result.score, result.images, result.seconds, training)
    hits = np.unpackbits(np.frombuffer(result.hits, np.uint8), count=result.images).astype(bool)
    return {**dict(zip(CONFIRMED_COLUMNS, values, strict=True)), HITS: hits}


def retrained(directory: RunDirectory) -> pd.DataFrame:
    """Return a run's retraining results, one row per training run; see `read_retraining`.

    Raises:
        MixnasError: If the files that hold them are damaged.
    """
    try:
        table = read_retraining(directory.path)
    except AnalysisError as error:
        raise MixnasError(f"{error}; repair the file, or remove it to retrain again") from None
    return table.reindex(columns=[*CONFIRMED_COLUMNS, *({HITS} & set(table.columns))])
