"""The settings of a full training, and their defaults.

This module imports no torch, so that help texts can show the defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from nas import defaults
from nas.document import read_document, require_keys, validate
from nas.errors import MixnasError
from nas.train.recipe import Recipe

SETTINGS = "training.yaml"
ReadingMode = Literal["auto", "memory", "stream"]
DEFAULT_RECIPE = Recipe(epochs=30, batch_size=64, learning_rate=0.05, warmup=0.1)
"""Recipe of a full training if none is given: longer than the short trainings of a search."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainingSettings:
    """What a full training is asked to do; ``training.yaml`` of its folder holds it.

    Attributes:
        network: Path of a spec, name of a reference network, or ``timm:NAME``.
        data: Name or path of the data set.
        recipe: How to train.
        seed: Random seed.
        resolution: Side of the images, in pixels; None for the network's own resolution.
        weights: Weights to start from: a .safetensors file or ``timm:NAME``; None for random ones.
        teacher: Network to distill from, as ``timm:NAME``; None for none.
        reading: Whether images are decoded once and kept (``memory``), decoded as they are needed
            (``stream``), or whichever suits the data set (``auto``).
    """

    network: str
    data: str = defaults.DATA
    recipe: Recipe = DEFAULT_RECIPE
    seed: int = 0
    resolution: int | None = None
    weights: str | None = None
    teacher: str | None = None
    reading: ReadingMode = "auto"


def read_training_settings(path: Path) -> TrainingSettings:
    """Read the settings of the training in a folder.

    Raises:
        MixnasError: If the folder holds no training, or its settings are invalid.
    """
    if not (path / SETTINGS).is_file():
        raise MixnasError(f"{path} is not the folder of a training: it has no {SETTINGS}")
    document = read_document(path / SETTINGS)
    settings: TrainingSettings = validate(TrainingSettings, document)
    require_keys(document, ("network", "data", "recipe"))
    return settings
