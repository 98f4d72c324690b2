"""Recipes: how to train, both in the short training of a search and in full training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.document import Document, parse_document, read_document, validate
from nas.errors import DocumentError, unknown
from nas.files import is_built_in
from nas.spec import looks_like_path

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
_Channels = tuple[float, float, float]
Statistics = tuple[_Channels, _Channels]
"""Mean and standard deviation of each channel (red, green, blue), of values from 0 to 1."""

RECIPES = ("cifar10", "finetune", "imagenet_mixnet", "imagewoof")
"""Names of the recipes that come with the package."""
_FOLDER = Path(__file__).parent / "recipes"
_LATER: dict[str, Any] = {"flat": 0.0, "centralise": False}
"""Fields that came later than the first scores and checkpoints, with the values of no effect."""


def _normalisation(value: Any) -> Any:
    """Check how images are normalized."""
    names = ("data", "imagenet")
    if value in names:
        return value
    try:
        mean, std = (tuple(map(float, channels)) for channels in value)
    except (TypeError, ValueError):
        mean, std = (), ()
    if not (len(mean) == len(std) == 3 and all(map(math.isfinite, mean + std))):
        given = unknown("normalization", value, names) if isinstance(value, str) else str(value)
        raise ValueError(
            f"{given}; or give mean and standard deviation of three channels, of values from 0 to "
            "1: [[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]"
        )
    if min(std) <= 0:
        raise ValueError(f"standard deviations must be positive; found {std}")
    return mean, std


Normalisation = Annotated[Literal["data", "imagenet"] | Statistics, BeforeValidator(_normalisation)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """How to train a network. A value of zero disables an ingredient.

    Attributes:
        epochs: Passes over the training split; 0.5 is half a pass.
        batch_size: Images per step. Small batches give the many steps that ranking networks needs.
        optimiser: ``sgd`` (with Nesterov momentum), ``rmsprop`` (TensorFlow's variant, as for
            MnasNet), ``adamw``, ``ranger`` (RAdam with Lookahead), or a name that the package
            pytorch_optimizer knows, such as ``lion``.
        learning_rate: Peak learning rate, for this batch size.
        momentum: Momentum of sgd and rmsprop.
        weight_decay: Weight decay of the weights of convolutions and linear layers.
        schedule: Decay of the learning rate: ``cosine`` to zero, ``exponential`` in steps as for
            MnasNet (Tan et al. 2019, section 4), or ``constant``.
        decay: Factor of one step of the exponential schedule.
        decay_epochs: Epochs between two steps of the exponential schedule.
        warmup: Share of all steps in which the learning rate rises linearly from zero.
        flat: Share of all steps, warm-up included, after which the cosine begins; before, the rate
            is at its peak ("flat and anneal", as in fastai's ``fit_flat_cos``).
        label_smoothing: Share of the target that is spread over all classes.
        clip: Maximum norm of the gradient.
        centralise: Whether gradients are centralized: those of convolutions and linear layers have
            mean zero in each output channel (Yong et al. 2020).
        ema: Decay of the moving average of the weights, which is then evaluated and saved.
        sam: Radius of sharpness-aware minimization (Foret et al. 2021), which doubles the cost.
        dropout: Dropout probability before the classifier.
        drop_path: Scale of stochastic depth: block i of n (from 0) drops its residual branch with
            probability drop_path * i / n (Huang et al. 2016).
        zero_residuals: Whether residual branches start at zero.
        shift: Maximum random translation, as a share of the side.
        crop: Minimum share of the area that a random crop keeps; 1 for no cropping.
        flip: Whether images are mirrored at random.
        randaugment: Magnitude of RandAugment (Cubuk et al. 2020), 1 to 30.
        randaugment_ops: Operations per image of RandAugment.
        erasing: Probability of erasing a random rectangle (Zhong et al. 2020).
        mixup: Parameter of the Beta distribution of mixup (Zhang et al. 2018).
        cutmix: Parameter of the Beta distribution of CutMix (Yun et al. 2019); if mixup is used as
            well, each step uses one of the two at random.
        normalisation: Whether images are normalized by the statistics of the training split
            (``data``), by those of ImageNet (``imagenet``), or by a mean and a standard deviation
            of each channel, for values from 0 to 1: ``[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]``.
        distill: Share of the loss that comes from the teacher, if there is one.
        temperature: Temperature of the distillation (Hinton et al. 2015).
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
    flat: Share = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip: NotNegative = 0.0
    centralise: bool = False
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
    normalisation: Normalisation = "data"
    distill: Share = 0.5
    temperature: Positive = 2.0

    def settings(self) -> dict[str, Any]:
        """Return all fields except the epochs, which estimators derive from a number of images."""
        values = dataclasses.asdict(self)
        del values["epochs"]
        return values

    def facts(self) -> dict[str, Any]:
        """Return what scores and checkpoints depend on, apart from the epochs.

        The fields that came later count only where they have an effect, so that earlier scores and
        checkpoints stay valid.
        """
        values = self.settings()
        unused = {name for name, default in _LATER.items() if values[name] == default}
        return {name: value for name, value in values.items() if name not in unused}

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed; the new values are validated."""
        return dataclasses.replace(self, **changes)

    def rate(self, step: int, total: int, epoch_steps: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: Number of the step, from 0.
            total: Number of steps of the whole training.
            epoch_steps: Number of steps of one epoch.
        """
        warmup_steps = max(1, round(self.warmup * total))
        if step < warmup_steps:
            return self.learning_rate * (step + 1) / warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "exponential":
            decays = math.floor(step / (self.decay_epochs * epoch_steps))
            return float(self.learning_rate * self.decay**decays)
        begin = max(warmup_steps, round(self.flat * total))
        progress = max(0, step - begin) / max(1, total - begin)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def load_recipe(name: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Return a recipe, given the name of one that comes with the package or a YAML file's path.

    Args:
        name: Name or path.
        changes: Values that override those of the document.

    Raises:
        DocumentError: If there is no such recipe, or a key or a value is invalid.

    Examples:
        >>> load_recipe("finetune", {"epochs": 40}).epochs
        40.0
    """
    if is_built_in(name, RECIPES, "recipe"):
        text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        document = parse_document(text, f"recipes/{name}.yaml")
    elif looks_like_path(name) or Path(name).is_file():
        document = read_document(name)
    else:
        raise DocumentError(f"{unknown('recipe', name, RECIPES)}; or give the path of a YAML file")
    if not isinstance(document.data, dict):
        document.fail((), "a recipe must be a mapping with keys such as epochs and learning_rate")
    data = {**document.data, **(changes or {})}
    return validate(Recipe, Document(document.source, data, document.lines))
