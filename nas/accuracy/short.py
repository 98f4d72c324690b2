"""Short training: each network is trained on its own on some tens of thousands of images."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import nn

from nas import defaults
from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import (
    AtLeastOne,
    Images,
    Resolution,
    WidthFactor,
    shown_at,
    timm_shown_at,
    widened,
)
from nas.accuracy.memory import HALVED, with_halved_batches
from nas.accuracy.sharing.pretrained import open_pretrained
from nas.errors import MixnasError
from nas.named import AnyNetwork, TimmNetwork
from nas.progress import Step
from nas.torch_model import Network, TrainedWeights, build, load_weights
from nas.train.loop import Trainer, TrainingError
from nas.train.placement import open_placement, to_host
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

FULL_WIDTH = "trained at full width"
ScoreName = Literal["accuracy", "loss", "speed"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ShortTraining:
    """Trains every network briefly, at a cost that its fidelities determine.

    Attributes:
        data: Name or path of the data set.
        images: Number of images seen in training, over all epochs; a fraction of an epoch if it is
            less than the training split.
        most_epochs: Upper bound on the number of epochs.
        resolution: Height and width of the images, in pixels, regardless of the network's own.
        width: Width multiplier.
        validation: Maximum number of validation images that a network is evaluated on.
        score: Figure by which networks are ranked: their validation ``accuracy``; ``loss``, the
            geometric mean of the likelihoods of the validation labels, exp(-cross entropy); or
            ``speed``, the same of the training labels over the second half of the steps (Ru et al.
            2021, TSE-E: the sum of training losses after a burn-in), which ranks best
            (`experiments/results/ranking.json`).
        stages: Number of stages, the last one included, after which a network may be stopped.
        recipe: How to train; the number of epochs follows from `images`.
        placement: Where to train, and how precisely.
        images_per_class: Number of images of each class to use, at most; None for all.
        weights: Pretrained network that networks begin from, as far as they share its weights
            (`nas.accuracy.sharing.pretrained`); empty for random weights. The recipe says how
            images are normalized, which should be as for the pretrained network.
    """

    evaluates_timm: ClassVar[bool] = True

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
    placement: PlacementSettings = ON_THE_CPU
    images_per_class: int | None = None
    weights: str = ""

    @property
    def shown(self) -> Images:
        """The images that networks are shown."""
        return Images(self.data, self.resolution, self.images_per_class, self.validation)

    @property
    def label(self) -> str:
        """See `Estimator.label`."""
        return {
            "accuracy": "validation accuracy",
            "loss": "likelihood in validation",
            "speed": "likelihood in training",
        }[self.score]

    @property
    def is_accuracy(self) -> bool:
        """See `is_accuracy_of`."""
        return self.score == "accuracy"

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        settings = dataclasses.asdict(self)
        # The data set is identified by its content, not its name; the others follow below.
        for name in ("recipe", "data", "images_per_class", "placement", "weights"):
            del settings[name]
        if self.weights:
            settings["pretrained"] = open_pretrained(self.weights).digest()
        return {
            "estimator": "short",
            "data_fingerprint": self.shown.source().fingerprint(),
            **settings,
            **self.recipe.facts(),
            **self.placement.facts(self.resolution),
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; decodes the images."""
        remarks = self.shown.prepare(self.placement.kind, step)
        if self.weights:
            remarks += open_pretrained(self.weights).remarks(self.resolution)
        return remarks

    def estimate(self, spec: AnyNetwork, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        *_, last = self.estimates(spec, seed)
        return last

    def estimates(self, spec: AnyNetwork, seed: int) -> Iterator[Estimate]:
        """See `StagedEstimator`.

        Before the last stage nothing is evaluated: whatever `score` is, the score of such a stage
        is the likelihood of its training labels, exp(-mean training loss).
        """
        return with_halved_batches(lambda parts: self._estimates(spec, seed, parts))

    def _estimates(self, spec: AnyNetwork, seed: int, parts: int) -> Iterator[Estimate]:
        started = time.perf_counter()
        try:
            trainer = self.trainer(spec, seed, parts)
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
        remarks = [HALVED] if parts > 1 else []
        if isinstance(spec, TimmNetwork) and self.width != 1:
            remarks.append(FULL_WIDTH)
        seconds = round(time.perf_counter() - started, 3)
        yield Estimate(
            accuracy=evaluation.accuracy,
            loss=evaluation.loss,
            seconds=seconds,
            seed=seed,
            score=scores[self.score],
            remark="; ".join(remarks),
        )

    def trainer(
        self,
        spec: AnyNetwork,
        seed: int,
        parts: int = 1,
        weights: TrainedWeights | None = None,
    ) -> Trainer:
        """Return the training of a network, before its first step.

        Args:
            spec: The network; one of timm's is trained at its full width.
            seed: Random seed of weights, order of the images and augmentation.
            parts: Number of parts in which the gradients of a batch are computed.
            weights: Weights to start from, of the same network; None for random ones, or what it
                shares with the pretrained network.

        Raises:
            EstimateError: If the weights are those of another network.
        """
        placement = open_placement(self.placement, self.resolution)
        source = self.shown.batches(self.recipe.batch_size, seed, placement)
        recipe = self.recipe.replace(epochs=source.epochs(self.images, self.most_epochs))
        model = self._model(spec, seed, recipe)
        if weights is not None and isinstance(model, Network):
            try:
                load_weights(model, weights)
            except MixnasError as error:
                raise EstimateError(str(error)) from None
            recipe = recipe.replace(zero_residuals=False)  # this would discard trained weights
        elif self.weights and isinstance(model, Network):
            try:
                pretrained = open_pretrained(self.weights)
            except MixnasError as error:  # another machine may lack the file
                raise EstimateError(str(error)) from None
            own = pretrained.weights_for(model.spec, seed, recipe.zero_residuals)
            model.load_state_dict(own, strict=False)  # statistics are not shared
            recipe = recipe.replace(zero_residuals=False)
        return Trainer(model, source, recipe, seed, placement, parts=parts)

    def _model(self, spec: AnyNetwork, seed: int, recipe: Recipe) -> nn.Module:
        if isinstance(spec, TimmNetwork):
            network = timm_shown_at(spec, self.resolution)
            return network.build(seed, recipe.dropout, recipe.drop_path)
        shown = shown_at(widened(spec, self.width), self.resolution)
        return build(shown, seed, recipe.dropout, recipe.drop_path)


def _losses(trainer: Trainer, until: int) -> list[float]:
    """Continue a training up to a step; return the loss of every step done."""
    losses = [trainer.last_loss for _ in trainer.steps(until)]
    return to_host(torch.stack(losses)).tolist() if losses else []


def _likelihood(losses: list[float]) -> float:
    """Return the geometric mean of the likelihoods that cross entropies stand for."""
    return math.exp(-sum(losses) / len(losses))
