"""Opening a full training run: everything that its settings name is loaded and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import yaml
from rich.console import Console

from nas import cli
from nas.data import DataSource, load_data
from nas.files import refuse_occupied, write_atomic
from nas.machine import usable_cores
from nas.train.distillation import open_teacher
from nas.train.full_training import CHECKPOINT, FullTraining
from nas.train.loop import Trainer
from nas.train.models import Model, load_initial_weights, open_model
from nas.train.placement import Placement
from nas.train.settings import SETTINGS, TrainingSettings
from nas.train.sources import open_batches

NETWORK = "network.yaml"


def open_training(
    path: Path,
    settings: TrainingSettings,
    open_placement: Callable[[int], Placement],
    workers: int | None,
    new: bool,
    console: Console,
) -> FullTraining:
    """Assemble a training run, create its folder, and resume from its checkpoint, if any.

    Args:
        path: Folder of the training.
        settings: What to train.
        open_placement: Opens device and processes to train on, for images of a side in pixels.
        workers: Number of processes that decode streamed images; None for one per core.
        new: Whether the folder must be new.
        console: Console for progress and remarks.

    Raises:
        MixnasError: If the training is not possible; a new folder is not created in this case.
    """
    data = load_data(settings.data, settings.images_per_class)
    model = _open_network(path, settings, data.num_classes, new)
    placement = open_placement(model.resolution)
    if new and placement.main:
        refuse_occupied(path, "resume it with --resume, or choose another --out")
    costs = model.costs()
    recipe, remarks = settings.recipe, []
    if settings.weights is not None:
        if not (path / CHECKPOINT).is_file():
            remarks.append(load_initial_weights(model, settings.weights))
        recipe = recipe.replace(zero_residuals=False)  # this would discard trained weights
    workers = usable_cores() if workers is None else workers
    trainer, data_remarks = _open_trainer(
        model=model,
        data=data,
        settings=dataclasses.replace(settings, recipe=recipe),
        placement=placement,
        workers=workers,
        console=console,
    )
    training = FullTraining(
        path=path,
        trainer=trainer,
        model=model,
        costs=costs,
        about=_identity(settings, model, data),
    )
    if placement.main:
        for remark in [*remarks, *data_remarks]:
            console.print(remark, markup=False, soft_wrap=True)
        _create_folder(training, settings)
    training.open()
    return training


def _open_network(path: Path, settings: TrainingSettings, classes: int, new: bool) -> Model:
    """Build the network; a resumed training has a copy of its spec in its folder."""
    copy = path / NETWORK
    name = settings.network if new or not copy.is_file() else str(copy)
    return open_model(
        name=name,
        classes=classes,
        recipe=settings.recipe,
        seed=settings.seed,
        resolution=settings.resolution,
    )


def _open_trainer(
    model: Model,
    data: DataSource,
    settings: TrainingSettings,
    placement: Placement,
    workers: int,
    console: Console,
) -> tuple[Trainer, list[str]]:
    """Read the data and prepare the training loop; return it with remarks on the data."""
    teacher = None
    if settings.teacher is not None:
        teacher = open_teacher(settings.teacher, data.num_classes, placement)
    with cli.progress_bar(console, f"reading {settings.data}") as step:
        batches, recipe, remarks = open_batches(
            data=data,
            resolution=model.resolution,
            recipe=settings.recipe,
            seed=settings.seed,
            placement=placement,
            reading=settings.reading,
            workers=workers,
            step=step,
        )
    trainer = Trainer(
        model=model.module,
        source=batches,
        recipe=recipe,
        seed=settings.seed,
        placement=placement,
        teacher=teacher,
    )
    return trainer, remarks


def _identity(settings: TrainingSettings, model: Model, data: DataSource) -> dict[str, object]:
    """Return what a checkpoint must agree with: settings, network and data."""
    return {
        **dataclasses.asdict(settings),
        "network": settings.network if model.spec is None else model.spec.digest(),
        "data": data.fingerprint(),
    }


def _create_folder(training: FullTraining, settings: TrainingSettings) -> None:
    training.path.mkdir(parents=True, exist_ok=True)
    training.claim()
    text = yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False)
    write_atomic(training.path / SETTINGS, text)
    if training.model.spec is not None:
        training.model.spec.save(training.path / NETWORK)
