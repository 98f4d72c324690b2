"""The training of the supernet: paths are sampled at every step, by one process or by several."""

from __future__ import annotations

import os
import random
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nas.accuracy.base import EstimateError
from nas.accuracy.fidelity import Images, shown_at, widened
from nas.accuracy.memory import HALVED, out_of_memory
from nas.accuracy.pool import NetworkPool
from nas.accuracy.sharing.pretrained import open_pretrained
from nas.accuracy.supernet.paths import PathsTrainer, SampledPaths
from nas.accuracy.supernet.processes import train_together
from nas.errors import MixnasError
from nas.machine import machine_for
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.train.checkpoint import Checkpointer, load_checkpoint, save_weights
from nas.train.loop import TrainingError
from nas.train.placement import Placement, open_placement, release_memory
from nas.train.recipe import Recipe
from nas.train.settings import PlacementSettings

CHECKPOINT_SECONDS = 30.0  # time between two checkpoints
CACHED_KERNELS = 100_000  # compiled kernels that oneDNN keeps, some kilobytes each
FEWEST_IMAGES = 32
"""Images of a batch for each process, at the least: batch normalization needs as many."""


@dataclass(frozen=True)
class SupernetTraining:
    """One training of the shared weights; it is sent to the processes that train together.

    Attributes:
        shown: The images.
        pool: Networks to train.
        images: Number of images seen, over all epochs.
        most_epochs: Upper bound on the number of epochs.
        width: Factor of all channels.
        paths: Number of networks trained on every batch.
        shrinking: Share of the training in which smaller networks join one after another.
        recipe: How to train; the number of epochs follows from `images`.
        seed: Random seed.
        placement: Where to train, and how precisely.
        path: File for the trained weights; the checkpoint lies beside it.
        about: Plain data that identifies the training.
        weights: Pretrained network to begin from (`Supernet.weights`).
        save_every: Time between two checkpoints, in seconds.
    """

    shown: Images
    pool: NetworkPool
    images: int
    most_epochs: int
    width: float
    paths: int
    shrinking: float
    recipe: Recipe
    seed: int
    placement: PlacementSettings
    path: Path
    about: dict[str, Any]
    weights: str = ""
    save_every: float = CHECKPOINT_SECONDS

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.path.with_suffix(".checkpoint")

    def run(self, processes: int, step: Step | None) -> list[str]:
        """Train to the end, from the checkpoint if there is one, and write the weights.

        Args:
            processes: Number of processes that train together.
            step: Called with the number of steps taken and their total number.

        Returns:
            Remarks for the user, one line each.

        Raises:
            MixnasError: If the training cannot continue.
        """
        try:
            self._run(processes, 1, step)
            return []
        except torch.OutOfMemoryError:
            pass  # from here on nothing but cycles refers to the first attempt
        release_memory()
        try:
            self._run(processes, 2, step)
        except torch.OutOfMemoryError as error:
            raise MixnasError(f"the supernet: {out_of_memory(error, halved=True)}") from None
        return [f"supernet: {HALVED}"]

    def _run(self, processes: int, parts: int, step: Step | None) -> None:
        if processes > 1:
            train_together(self, processes, parts, step)
        else:
            self.train(open_placement(self.placement, self.shown.resolution), parts, step)

    def train(self, placement: Placement, parts: int, step: Step | None) -> None:
        """Train in this process, together with the others of a placement.

        Args:
            placement: Device and processes; the main one writes.
            parts: Number of parts in which the gradients of a batch are computed.
            step: Called with the number of steps taken and their total number.

        Raises:
            MixnasError: If the loss is no longer finite, or the checkpoint is damaged.
            torch.OutOfMemoryError: If the device's memory does not suffice.
        """
        keep_kernels()
        # Several processes train under the locks of the one that started them: were each to ask
        # for its own, one might get it and wait for another that a measurement keeps waiting.
        lock = machine_for("training", placement.device) if placement.world == 1 else nullcontext()
        with torch.random.fork_rng(devices=[]), lock:
            trainer = self.trainer(placement, parts)
            if self.checkpoint.is_file():
                load_checkpoint(trainer, self.checkpoint, self.about)
            checkpointer = Checkpointer(trainer, self.checkpoint, self.about, self.save_every)
            try:
                for done in trainer.steps():
                    if step is not None:
                        step(done, trainer.total)
                    checkpointer.save_if_due()
            except TrainingError as error:
                self.checkpoint.unlink(missing_ok=True)
                raise MixnasError(f"the supernet: {error}") from None
        if placement.main:
            trained: Any = trainer.evaluated_model
            with trainer.final_weights():
                save_weights(trained.bank, self.path, {})
            self.checkpoint.unlink(missing_ok=True)

    def trainer(self, placement: Placement, parts: int = 1) -> PathsTrainer:
        """Return the training before its first step; seeds torch's random generator."""
        batches = self.shown.batches(self.recipe.batch_size, self.seed, placement)
        recipe = self.recipe.replace(epochs=batches.epochs(self.images, self.most_epochs))
        torch.manual_seed(self.seed)
        model = SampledPaths(self._draw, self.paths, recipe, self.shrinking)
        if self.weights:
            pretrained = open_pretrained(self.weights)
            model.bank.adopt(pretrained.spec, pretrained.tensors)
        return PathsTrainer(model, batches, recipe, self.seed, placement, parts=parts)

    def _draw(self, rng: random.Random) -> NetworkSpec:
        try:
            return shown_at(widened(self.pool.draw(rng), self.width), self.shown.resolution)
        except EstimateError as error:
            raise MixnasError(
                f"the supernet has a network that cannot be trained: {error}"
            ) from None


def keep_kernels() -> None:
    """Let oneDNN keep the kernels that it compiles for the networks of a supernet.

    Nearly every step has layers of other shapes, whose kernels it would have forgotten and compile
    again, which takes as long as the step. It looks for this setting when it is first used, so this
    has no effect later.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(CACHED_KERNELS))
