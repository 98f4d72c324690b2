"""How to train: one document, shared by the search's short trainings and by full training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.document import Document, read_document, validate

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """How to train a network. Zero turns an ingredient off.

    Attributes:
        epochs: passes over the training part; 0.5 is half of one.
        batch_size: images a step. Small ones give the steps that ranking networks needs.
        optimiser: ``sgd`` (Nesterov), ``rmsprop`` (TensorFlow's kind, as MnasNet's), ``adamw``, or
            a name that the package pytorch_optimizer knows, as ``ranger``.
        learning_rate: the highest, for this batch size.
        momentum: of sgd and rmsprop.
        weight_decay: on weights of convolutions and linear layers only.
        schedule: how the rate falls: ``cosine`` to zero, ``exponential`` in steps as MnasNet's
            (Tan et al. 2019, section 4), or ``constant``.
        decay: factor of the exponential schedule.
        decay_epochs: epochs between two of its steps.
        warmup: share of all steps in which the rate rises, from zero.
        label_smoothing: share of the target given to all classes.
        clip: largest norm of the gradient.
        ema: decay of the moving average of weights that is evaluated and kept.
        sam: radius of sharpness-aware minimisation (Foret et al. 2021); doubles the price.
        dropout: before the classifier.
        drop_path: of the last residual branch; of earlier ones linearly less.
        zero_residuals: let residual branches start at zero.
        shift: random translation, as a share of the side.
        crop: smallest share of the area that a random crop keeps; 1 for no cropping.
        flip: mirror every other image.
        randaugment: magnitude of RandAugment (Cubuk et al. 2020), 1 to 30.
        randaugment_ops: its operations an image.
        erasing: probability of erasing a rectangle (Zhong et al. 2020).
        mixup: parameter of the Beta distribution of mixup (Zhang et al. 2018).
        cutmix: the same of CutMix (Yun et al. 2019); with both, each step takes one of them.
        normalisation: by the training part's own statistics, or by ImageNet's.
        distill: share of the loss that comes from a teacher's answers, if there is a teacher.
        temperature: of those answers (Hinton et al. 2015).
    """

    epochs: Positive = 3
    batch_size: Annotated[int, Field(ge=2)] = 16
    optimiser: str = "sgd"
    learning_rate: Positive = 0.06
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 1e-4
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.97
    decay_epochs: Positive = 2.4
    warmup: Share = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip: NotNegative = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sam: NotNegative = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zero_residuals: bool = True
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.1
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    flip: bool = False
    randaugment: Annotated[int, Field(ge=0, le=30)] = 0
    randaugment_ops: Annotated[int, Field(ge=1, le=8)] = 2
    erasing: Share = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    normalisation: Literal["data", "imagenet"] = "data"
    distill: Share = 0.5
    temperature: Positive = 2.0

    def settings(self) -> dict[str, Any]:
        """Return all but the epochs, which estimators set by a number of images."""
        values = dataclasses.asdict(self)
        del values["epochs"]
        return values

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def rate(self, step: int, total: int, epoch_steps: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: from 0 on.
            total: steps of the whole training.
            epoch_steps: steps of one epoch.
        """
        rise = max(1, round(self.warmup * total))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "exponential":
            falls = math.floor(step / (self.decay_epochs * epoch_steps))
            return float(self.learning_rate * self.decay**falls)
        progress = (step - rise) / max(1, total - rise)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def load_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe's YAML file.

    Args:
        path: of the file.
        changes: fields that override the file's.

    Raises:
        DocumentError: when it is missing, or says what no recipe can.
    """
    document = read_document(str(path))
    if not isinstance(document.data, dict):
        document.fail((), "a recipe is a mapping with the keys epochs, learning_rate, ...")
    data = {**document.data, **(changes or {})}
    recipe: Recipe = validate(Recipe, Document(document.source, data, document.lines))
    return recipe
