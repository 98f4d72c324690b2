"""What a full training is made of: everything that its settings name, opened and checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from rich.console import Console

from nas import cli
from nas.data import load_data
from nas.document import read_document, validate
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.machine import usable_cores
from nas.train.distillation import open_teacher
from nas.train.full_training import CHECKPOINT, FullTraining
from nas.train.loop import Trainer
from nas.train.models import load_start, open_model
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import open_source

SETTINGS = "training.yaml"
NETWORK = "network.yaml"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainingSettings:
    """What a training was asked to be; its folder keeps it, and ``--resume`` reads it.

    Attributes:
        network: a spec's path, a reference's name, or ``timm:NAME``.
        data: data set.
        recipe: how to train.
        seed: of everything random.
        resolution: side of the images in pixels; the network's own if None.
        weights: to start from, if any.
        teacher: to learn from, if any.
        reading: how images are read.
    """

    network: str
    data: str
    recipe: Recipe
    seed: int = 0
    resolution: int | None = None
    weights: str | None = None
    teacher: str | None = None
    reading: Literal["auto", "memory", "stream"] = "auto"


def read_training_settings(path: Path) -> TrainingSettings:
    """Read what a folder's training was asked to be.

    Raises:
        MixnasError: when it is no such folder.
    """
    if not (path / SETTINGS).is_file():
        raise MixnasError(f"{path} is no folder of a training: it has no {SETTINGS}")
    found: TrainingSettings = validate(TrainingSettings, read_document(str(path / SETTINGS)))
    return found


def open_training(
    path: Path,
    settings: TrainingSettings,
    placement: Placement,
    workers: int | None,
    new: bool,
    console: Console,
) -> FullTraining:
    """Build everything, make the folder, and go on where its checkpoint is.

    Args:
        path: of the folder.
        settings: what to train.
        placement: where.
        workers: processes that decode streamed images; one a core if None.
        new: whether the folder must be new.
        console: for progress and remarks.

    Raises:
        MixnasError: when something is not possible; a new folder has not been made then.
    """
    images = load_data(settings.data)
    recipe = settings.recipe
    kept = path / NETWORK
    name = settings.network if new or not kept.is_file() else str(kept)
    model = open_model(name, images.num_classes, recipe, settings.seed, settings.resolution)
    if new and placement.main and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MixnasError(f"{path} exists; go on with it by --resume, or choose another --out")
    costs = model.costs()
    remarks = []
    if settings.weights is not None:
        if not (path / CHECKPOINT).is_file():
            remarks.append(load_start(model, settings.weights))
        recipe = recipe.replace(zero_residuals=False)  # they have begun already
    teacher = None
    if settings.teacher is not None:
        teacher = open_teacher(settings.teacher, images.num_classes, placement)
    with cli.progress_bar(console, f"reading {settings.data}") as step:
        source, recipe, told = open_source(
            images,
            model.resolution,
            recipe,
            settings.seed,
            placement,
            settings.reading,
            usable_cores() if workers is None else workers,
            step,
        )
    trainer = Trainer(model.module, source, recipe, settings.seed, placement, teacher)
    about = {
        **dataclasses.asdict(settings),
        "network": settings.network if model.spec is None else model.spec.digest(),
        "data": images.fingerprint(),
    }
    training = FullTraining(path, trainer, model, costs, about)
    if placement.main:
        for remark in [*remarks, *told]:
            console.print(remark, markup=False, soft_wrap=True)
        _make_folder(training, settings)
    training.open()
    return training


def _make_folder(training: FullTraining, settings: TrainingSettings) -> None:
    training.path.mkdir(parents=True, exist_ok=True)
    training.claim()
    plain: dict[str, Any] = dataclasses.asdict(settings)
    write_atomic(training.path / SETTINGS, yaml.safe_dump(plain, sort_keys=False))
    if training.model.spec is not None:
        training.model.spec.save(training.path / NETWORK)
