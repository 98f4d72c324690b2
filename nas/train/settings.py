"""The settings of full training, and of where any training runs, with their defaults.

This module imports no torch, so that help texts can show the defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from nas import defaults
from nas.blocks.fields import ActivationName
from nas.document import Document, parse_document, read_document, require_keys, validate
from nas.errors import DocumentError, MixnasError
from nas.train.recipe import Recipe, load_recipe

SETTINGS = "training.yaml"
NETWORK = "network.yaml"
WEIGHTS = "weights.safetensors"
SUPERNET = "supernet:"
"""Prefix of the names of weights that are a network's slice of the supernet of a run directory."""
ReadingMode = Literal["auto", "memory", "stream"]
DEFAULT_RECIPE = Recipe(epochs=30, batch_size=64, learning_rate=0.05, warmup=0.1)
"""Recipe of a full training if none is given: longer than the short training of a search."""
MIXED_FROM = 128
"""Side of the images, in pixels, from which automatic precision is mixed on a GPU. Steps on smaller
images are bound by the launches of kernels, of which mixed precision has more: on an H100 at 32
pixels, bf16 was a third slower than fp32 (`experiments/results/on_gpu.json`)."""
ON_HELP = (
    "Device to train on: cpu, cuda, cuda:1, mps, or auto: an accelerator if there is one, else cpu."
)
PRECISION_HELP = (
    "Arithmetic precision: fp32, bf16, fp16, or auto: bf16 on CUDA for images of "
    f"{MIXED_FROM} px or more, else fp32."
)


@dataclass(frozen=True)
class PlacementSettings:
    """Where networks are trained and evaluated, and how precisely.

    Attributes:
        on: Device, as torch names it: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``fp32``, ``bf16``, ``fp16``; or ``auto``: bf16 on a GPU from `MIXED_FROM` pixels
            on, fp32 otherwise.
    """

    on: str = "cpu"
    precision: str = "auto"

    @property
    def kind(self) -> str:
        """Kind of the device, without its number."""
        return self.on.partition(":")[0]

    def precision_at(self, resolution: int) -> str:
        """Return the precision for images of a side, in pixels."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if self.kind == "cuda" and resolution >= MIXED_FROM else "fp32"

    def facts(self, resolution: int) -> dict[str, Any]:
        """Return what scores depend on; nothing for fp32 on the CPU, the usual case.

        The device counts since it has random numbers of its own, for augmentation and dropout.
        """
        precision = self.precision_at(resolution)
        device = {} if self.kind == "cpu" else {"trained_on": self.kind}
        return device if precision == "fp32" else {**device, "precision": precision}


ON_THE_CPU = PlacementSettings()


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SharedSettings:
    """The settings that full trainings of several networks share.

    Attributes:
        data: Name or path of the data set.
        images_per_class: Number of images of each class to use, at most; None for all.
        recipe: How to train.
        seed: Random seed.
        resolution: Side of the images, in pixels; None for the network's own resolution.
        activation: Activation function in place of the network's own; None for these.
        teacher: Network to distill from, as ``timm:NAME``; None for none.
        reading: Whether images are decoded once and kept (``memory``), decoded as they are needed
            (``stream``), or whichever suits the data set (``auto``).
        command: Command line that the training was started by.
    """

    data: str = defaults.DATA
    images_per_class: int | None = None
    recipe: Recipe = DEFAULT_RECIPE
    seed: int = 0
    resolution: int | None = None
    activation: ActivationName | None = None
    teacher: str | None = None
    reading: ReadingMode = "auto"
    command: str = ""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainingSettings(SharedSettings):
    """The settings of a full training run, saved as ``training.yaml`` in its folder.

    Attributes:
        network: Path of a spec, name of a reference network, or ``timm:NAME``.
        weights: Weights to start from: a .safetensors file, ``supernet:RUN`` or ``timm:NAME``; None
            for random ones.
    """

    network: str
    weights: str | None = None


def chosen_recipe(name: str | None, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe, or take the default one, and apply changes.

    Args:
        name: Name of a recipe, or path of its file; None for `DEFAULT_RECIPE`.
        changes: Changes such as ``epochs=30``, as given by ``--set``.

    Raises:
        DocumentError: If there is no such recipe, or a key or a value is invalid.
        MixnasError: If a change has another form.
    """
    values: dict[str, Any] = {}
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals:
            raise MixnasError(f"--set {text}: expected NAME=VALUE, such as epochs=30")
        try:
            content = parse_document(value or "null", "--set").data
            values[key.strip().replace("-", "_")] = content
        except DocumentError:
            raise MixnasError(f"--set {text}: the value '{value}' is not valid YAML") from None
    if name is not None:
        return load_recipe(name, values)
    recipe: Recipe = validate(
        Recipe, Document("--set", {**dataclasses.asdict(DEFAULT_RECIPE), **values})
    )
    return recipe


def read_training_settings(path: Path) -> TrainingSettings:
    """Read the settings of the training in a folder.

    Raises:
        MixnasError: If the folder holds no training, or its settings are invalid.
    """
    if not (path / SETTINGS).is_file():
        raise MixnasError(f"{path} is not the folder of a training run: it has no {SETTINGS}")
    document = read_document(path / SETTINGS)
    settings: TrainingSettings = validate(TrainingSettings, document)
    require_keys(document, ("network", "data", "recipe"))
    return settings
