"""Short training: some thousand images, then how well the network does on the validation part."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import prepare_data, shared_data, widened
from nas.data import load_data
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import build
from nas.train.batches import Batches
from nas.train.loop import Trainer, TrainingError
from nas.train.recipe import Recipe

AtLeastOne = Annotated[int, Field(ge=1)]
ScoreName = Literal["accuracy", "loss", "speed"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ShortTraining:
    """Trains every network for a short while, at a price that the fidelities set.

    Attributes:
        data: name of the data set.
        images: seen in training, all in all; less than the training part is a share of it.
        most_epochs: how often training goes through the training part, at most.
        resolution: side of the images in pixels; the network is built for any.
        width: factor of all channels.
        validation: images that a network is judged by, at most.
        score: networks are ranked by their validation ``accuracy``; by ``loss``, the mean
            likelihood of the validation part's labels, exp(-cross entropy); or by ``speed``, the
            same of the training images over the second half of the steps (Ru et al. 2021, TSE-E:
            the sum of training losses after a burn-in), which ranks best
            (`experiments/results/ranking.json`).
        stages: how often a network may be given up, the end included.
        recipe: how to train; its epochs follow from `images`.
    """

    data: str = "digits"
    images: AtLeastOne = 72_000
    most_epochs: AtLeastOne = 10
    resolution: Annotated[int, Field(ge=8, le=2048)] = 36
    width: Annotated[float, Field(gt=0, le=4)] = 0.5
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
        del settings["recipe"], settings["data"]  # its images count, not its name
        return {
            "estimator": "short",
            "data_fingerprint": load_data(self.data).fingerprint(),
            **settings,
            **self.recipe.settings(),
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`: images are decoded."""
        return prepare_data(self.data, self.resolution, step)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        *_, last = self.estimates(spec, seed)
        return last

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """See `StagedEstimator`; before the end, what is told is the latest training losses."""
        started = time.perf_counter()
        try:
            trainer = self.trainer(spec, seed)
            losses: list[float] = []
            for stage in range(1, self.stages):
                begin = len(losses)
                losses += _losses(trainer, round(trainer.total * stage / self.stages))
                seconds = round(time.perf_counter() - started, 3)
                recent = losses[begin:] or losses or [math.inf]
                yield Estimate(None, None, seconds, seed, _likelihood(recent))
            losses += _losses(trainer, trainer.total)
            found = trainer.evaluate("validation")
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        scores = {
            "accuracy": found.accuracy,
            "loss": math.exp(-found.loss),
            "speed": _likelihood(losses[len(losses) // 2 :]),
        }
        seconds = round(time.perf_counter() - started, 3)
        yield Estimate(found.accuracy, found.loss, seconds, seed, scores[self.score])

    def trainer(self, spec: NetworkSpec, seed: int) -> Trainer:
        """Return the training of a network, not yet begun."""
        data = shared_data(self.data, self.resolution, self.validation)
        source = Batches(data, self.recipe.batch_size, seed)
        recipe = self.recipe.replace(epochs=source.epochs(self.images, self.most_epochs))
        model = build(widened(spec, self.width), seed, recipe.dropout, recipe.drop_path)
        return Trainer(model, source, recipe, seed)


def _losses(trainer: Trainer, until: int) -> list[float]:
    """Train on; return the loss of every step."""
    return [float(trainer.last_loss) for _ in trainer.steps(until)]


def _likelihood(losses: list[float]) -> float:
    return math.exp(-sum(losses) / len(losses))
