"""Opening and running a full training: everything that its settings name is loaded and checked."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from nas import cli
from nas.data import DataSource, load_data
from nas.errors import MixnasError
from nas.files import refuse_occupied, write_atomic
from nas.formats.metadata import ModelMetadata
from nas.machine import machine_for, usable_cores
from nas.spec import NetworkSpec
from nas.torch_model import TrainedWeights
from nas.train.distillation import open_teacher
from nas.train.full_training import CHECKPOINT, FullTraining
from nas.train.loop import Trainer, TrainingError
from nas.train.models import (
    Model,
    compare_metadata,
    load_initial_weights,
    metadata_of,
    open_model,
)
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.settings import NETWORK, SETTINGS, TrainingSettings
from nas.train.sources import announce, open_batches

if TYPE_CHECKING:
    from filelock import FileLock

    from nas.latency import Device

WeightsFinder = Callable[[str, NetworkSpec | None, str], TrainedWeights]
"""Finds weights by their name, for a network (None for one of timm's) and the name of its data."""


@dataclass(frozen=True)
class Session:
    """Where and how a command trains networks.

    Attributes:
        open_placement: Opens the placement for images of a side, in pixels.
        workers: Number of processes that decode streamed images; None for one per core.
        device: Device to measure latency on; None for none.
        console: Console for progress and remarks.
        find_weights: Finds the weights to start from.
    """

    open_placement: Callable[[int], Placement]
    workers: int | None
    device: Device | None
    console: Console
    find_weights: WeightsFinder

    def open(
        self,
        path: Path,
        settings: TrainingSettings,
        new: bool,
        lock: FileLock | None = None,
        quiet: bool = False,
    ) -> FullTraining:
        """Open a training; see `open_training`."""
        return open_training(
            path=path,
            settings=settings,
            open_placement=self.open_placement,
            workers=self.workers,
            new=new,
            console=self.console,
            find_weights=self.find_weights,
            lock=lock,
            quiet=quiet,
        )

    def train(self, training: FullTraining, resumable: Path) -> dict[str, Any]:
        """Train to the end and return the card.

        Args:
            training: The training.
            resumable: Folder that the user can resume if this is interrupted.

        Raises:
            MixnasError: If the loss is no longer finite, or no image can be read.
        """
        try:
            placement = training.trainer.placement
            # One lock for all processes: they wait for each other, and must not for a measurement.
            lock = machine_for("training", placement.device) if placement.main else nullcontext()
            with cli.progress_bar(self.console, "training") as step, lock:
                training.run(step)
            return training.finish(lambda: self._measure_latency(training))
        except KeyboardInterrupt:
            if training.trainer.placement.main:
                command = shlex.join(["python", "-m", "nas.train", "--resume", str(resumable)])
                self.console.print(f"stopped; resume with: {command}", soft_wrap=True)
            raise
        except TrainingError as error:
            raise MixnasError(str(error)) from None

    def _measure_latency(self, training: FullTraining) -> dict[str, Any] | None:
        """Measure the trained network; a device that fails now must not lose the training."""
        from nas.latency import measure_quietly

        if self.device is None or training.model.spec is None:
            return None
        try:
            with cli.examining(self.console, self.device.name) as step:
                self.device.prepare(step)
            return measure_quietly(self.device, training.model.spec).to_dict()
        except MixnasError as error:
            self.console.print(f"latency was not measured: {error}", soft_wrap=True)
            return None


def open_training(
    path: Path,
    settings: TrainingSettings,
    open_placement: Callable[[int], Placement],
    workers: int | None,
    new: bool,
    console: Console,
    find_weights: WeightsFinder,
    lock: FileLock | None = None,
    quiet: bool = False,
) -> FullTraining:
    """Assemble a training run, create its folder, and resume from its checkpoint, if any.

    Args:
        path: Folder of the training.
        settings: What to train.
        open_placement: Opens device and processes to train on, for images of a side in pixels.
        workers: Number of processes that decode streamed images; None for one per core.
        new: Whether the folder must be new.
        console: Console for progress and remarks.
        find_weights: Finds the weights to start from.
        lock: Lock of the folder, if it has been claimed; None to claim it when everything is open.
        quiet: Whether to leave out what was found in the data set.

    Raises:
        MixnasError: If the training is not possible; a new folder is not created in this case.
    """
    data = load_data(settings.data, settings.images_per_class)
    model = _open_network(path, settings, data.num_classes, new)
    placement = open_placement(model.resolution)
    if placement.main:
        if new:
            refuse_occupied(path, "resume it with --resume, or choose another --out")
        if not quiet:
            announce(data, console)
    costs = model.costs()
    weights, remarks = _start_from_weights(path, settings, model, data, find_weights)
    workers = usable_cores() if workers is None else workers
    trainer, data_remarks = _open_trainer(
        model=model,
        data=data,
        settings=dataclasses.replace(settings, recipe=_recipe(settings)),
        placement=placement,
        workers=workers,
        console=console,
    )
    about = _identity(settings, model, data)
    metadata = _metadata(settings, model, data, trainer, about)
    if weights is not None:
        remarks += compare_metadata(weights, model, metadata)
    training = FullTraining(path, trainer, model, costs, about, metadata)
    if placement.main:
        for remark in [*remarks, *data_remarks]:
            console.print(remark, soft_wrap=True)
        path.mkdir(parents=True, exist_ok=True)
        training.claim(lock)
    training.open()
    if placement.main:
        _write_settings(training, settings)
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
        activation=settings.activation,
    )


def _start_from_weights(
    path: Path,
    settings: TrainingSettings,
    model: Model,
    data: DataSource,
    find_weights: WeightsFinder,
) -> tuple[TrainedWeights | None, list[str]]:
    """Load the weights to start from, if any; return them, and remarks.

    A training with a checkpoint has begun already.
    """
    if settings.weights is None or (path / CHECKPOINT).is_file():
        return None, []
    weights = find_weights(settings.weights, model.spec, settings.data)
    return weights, [load_initial_weights(model, weights, data.classes), *weights.remarks]


def _recipe(settings: TrainingSettings) -> Recipe:
    """Return the recipe to train by; residual branches of trained weights do not start at zero."""
    if settings.weights is None:
        return settings.recipe
    return settings.recipe.replace(zero_residuals=False)


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


def _metadata(
    settings: TrainingSettings,
    model: Model,
    data: DataSource,
    trainer: Trainer,
    about: dict[str, object],
) -> ModelMetadata:
    """Return what travels with the weights; `about` is what a checkpoint must agree with."""
    return metadata_of(
        data=data,
        fingerprint=str(about["data"]),
        name=settings.data,
        spec=model.spec,
        resolution=model.resolution,
        statistics=(trainer.augmentation.mean, trainer.augmentation.std),
        command=settings.command,
    )


def _identity(settings: TrainingSettings, model: Model, data: DataSource) -> dict[str, object]:
    """Return what a checkpoint must agree with: settings, network and data."""
    known = dataclasses.asdict(settings)
    del known["command"]
    return {
        **known,
        "recipe": {"epochs": settings.recipe.epochs, **settings.recipe.facts()},
        "network": settings.network if model.spec is None else model.spec.digest(),
        "data": data.fingerprint(),
    }


def _write_settings(training: FullTraining, settings: TrainingSettings) -> None:
    text = yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False)
    write_atomic(training.path / SETTINGS, text)
    if training.model.spec is not None:
        training.model.spec.save(training.path / NETWORK)
