"""Short training: a network is trained alone on some tens of thousands of images."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from nas import defaults
from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import (
    AtLeastOne,
    Resolution,
    WidthFactor,
    prepare_data,
    shared_data,
    widened,
)
from nas.data import load_data
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import build
from nas.train.batches import Batches
from nas.train.loop import Trainer, TrainingError
from nas.train.recipe import Recipe

ScoreName = Literal["accuracy", "loss", "speed"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ShortTraining:
    """Trains every network for a short while, at a cost that its fidelities set.

    Attributes:
        data: Name or path of the data set.
        images: Number of images seen in training, over all epochs; a fraction of an epoch if it is
            less than the training part.
        most_epochs: Upper bound on the number of epochs.
        resolution: Height and width of the images, in pixels, whatever the network's own.
        width: Factor of all channels.
        validation: Number of validation images that a network is judged on, at most.
        score: Figure by which networks are ranked: their validation ``accuracy``; ``loss``, the
            geometric mean of the likelihoods of the validation labels, exp(-cross entropy); or
            ``speed``, the same of the training labels over the second half of the steps (Ru et al.
            2021, TSE-E: the sum of training losses after a burn-in), which ranks best
            (`experiments/results/ranking.json`).
        stages: Number of stages, the last one included, after which a network may be stopped.
        recipe: How to train; the number of epochs follows from `images`.
    """

    data: str = defaults.DATA
    images: AtLeastOne = 72_000
    most_epochs: AtLeastOne = 10
    resolution: Resolution = 36
    width: WidthFactor = 0.5
    validation: AtLeastOne = 4_000
    score: ScoreName = "speed"
    stages: AtLeastOne = 3
    recipe: Recipe = dataclasses.field(
        default_factory=lambda: Recipe(
            batch_size=32, optimiser="adamw", learning_rate=0.004, weight_decay=0.02
        )
    )

    @property
    def label(self) -> str:
        """See `Estimator.label`."""
        return {
            "accuracy": "validation accuracy",
            "loss": "likelihood in validation",
            "speed": "likelihood in training",
        }[self.score]

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        settings = dataclasses.asdict(self)
        # The data set is identified by its content, not its name; the recipe follows below.
        del settings["recipe"], settings["data"]
        return {
            "estimator": "short",
            "data_fingerprint": load_data(self.data).fingerprint(),
            **settings,
            **self.recipe.settings(),
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; decodes the images."""
        return prepare_data(self.data, self.resolution, step)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        *_, last = self.estimates(spec, seed)
        return last

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """See `StagedEstimator`.

        Before the last stage nothing is evaluated: whatever `score` is, the score of such a stage
        is the likelihood of its training labels, exp(-mean training loss).
        """
        started = time.perf_counter()
        try:
            trainer = self.trainer(spec, seed)
            losses: list[float] = []
            for stage in range(1, self.stages):
                begin = len(losses)
                losses += _losses(trainer, round(trainer.total * stage / self.stages))
                seconds = round(time.perf_counter() - started, 3)
                recent = losses[begin:] or losses or [math.inf]
                yield Estimate(
                    accuracy=None,
                    loss=None,
                    seconds=seconds,
                    seed=seed,
                    score=_likelihood(recent),
                )
            losses += _losses(trainer, trainer.total)
            evaluation = trainer.evaluate("validation")
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        scores = {
            "accuracy": evaluation.accuracy,
            "loss": math.exp(-evaluation.loss),
            "speed": _likelihood(losses[len(losses) // 2 :]),
        }
        seconds = round(time.perf_counter() - started, 3)
        yield Estimate(
            accuracy=evaluation.accuracy,
            loss=evaluation.loss,
            seconds=seconds,
            seed=seed,
            score=scores[self.score],
        )

    def trainer(self, spec: NetworkSpec, seed: int) -> Trainer:
        """Return the training of a network, before its first step."""
        data = shared_data(self.data, self.resolution, self.validation)
        source = Batches(data, self.recipe.batch_size, seed)
        recipe = self.recipe.replace(epochs=source.epochs(self.images, self.most_epochs))
        model = build(widened(spec, self.width), seed, recipe.dropout, recipe.drop_path)
        return Trainer(model, source, recipe, seed)


def _losses(trainer: Trainer, until: int) -> list[float]:
    """Continue a training up to a step; return the loss of every step done."""
    return [float(trainer.last_loss) for _ in trainer.steps(until)]


def _likelihood(losses: list[float]) -> float:
    """Return the geometric mean of the likelihoods that cross entropies stand for."""
    return math.exp(-sum(losses) / len(losses))
