"""The supernet as an estimator: it is trained once; after that, a score takes seconds."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import random
import time
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file
from torch import Tensor, nn

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import (
    AtLeastOne,
    Resolution,
    WidthFactor,
    prepare_data,
    shared_data,
    widened,
)
from nas.accuracy.pool import NetworkPool
from nas.accuracy.supernet.bank import WeightBank, fresh_buffers, skeleton
from nas.cost import count
from nas.data import ImageData, load_data
from nas.document import digest
from nas.errors import MixnasError
from nas.files import cache_folder, write_atomic
from nas.machine import machine_for
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.train.augment import Augmentation
from nas.train.batches import Batches
from nas.train.checkpoint import Checkpointer, load_checkpoint, save_weights
from nas.train.loop import Evaluation, Trainer, TrainingError, evaluate
from nas.train.placement import Placement
from nas.train.recipe import Recipe

_TRAINING_SETTINGS = ("images", "most_epochs", "resolution", "width", "paths", "seed")
SCANNED = 2_000  # networks drawn to find out how large the shared weights must be
MOST_UNTRAINED = 0.02  # largest share of untrained weights of a network that is judged
CHECKPOINT_SECONDS = 30.0  # time between two checkpoints
CACHED_KERNELS = 100_000  # compiled kernels that oneDNN keeps, some kilobytes each
EVALUATION_BATCH = 128  # images
DrawNetwork = Callable[[random.Random], NetworkSpec]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Supernet:
    """Judges networks by their validation accuracy with weights that all networks share.

    Attributes:
        data: Name or path of the data set.
        pool: Networks to train; needed by the training alone.
        images: Number of images seen in training, over all epochs.
        most_epochs: Upper bound on the number of epochs, which small data sets reach.
        resolution: Height and width of the images, in pixels.
        width: Factor of all channels.
        paths: Number of networks trained on every batch: 1 for a single path (Guo et al. 2020);
            from 2 on the sandwich rule (Yu and Huang 2019): the largest network, the smallest one,
            then random ones.
        calibration: Number of training images from which the batch-normalization statistics of a
            network are estimated before it is judged, rounded up to whole batches of 128.
        validation: Number of validation images that a network is judged on, at most.
        recipe: How to train; the number of epochs follows from `images`. After few steps, AdamW
            ranks networks better than SGD (`experiments/results/ranking.json`). Residual branches
            start at zero: otherwise the networks of the large MixNet space are 12 percentage points
            less accurate and are ranked worse (`experiments/results/ranking_mixnets.json`).
        seed: Random seed of the training.
    """

    data: str
    pool: Any = dataclasses.field(default=None, repr=False)
    images: AtLeastOne = 200_000
    most_epochs: AtLeastOne = 40
    resolution: Resolution = 32
    width: WidthFactor = 1.0
    paths: AtLeastOne = 1
    calibration: AtLeastOne = 1_024
    validation: AtLeastOne = 5_000
    recipe: Recipe = dataclasses.field(
        default_factory=lambda: Recipe(
            batch_size=64,
            optimiser="adamw",
            learning_rate=0.003,
            warmup=0.05,
            weight_decay=0.02,
        )
    )
    seed: int = 0

    label = "accuracy with shared weights"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the pool, which only training needs: workers find trained weights."""
        return {**self.__dict__, "pool": None, "_training_facts": self._training_facts}

    def export_state(self) -> bytes:
        """See `PortableEstimator`; returns the trained weights.

        Raises:
            OSError: If the supernet has not been trained.
        """
        return self.path.read_bytes()

    def import_state(self, state: bytes) -> None:
        """See `PortableEstimator`; replaces weights trained here with the same settings."""
        if not self.path.is_file() or self.path.read_bytes() != state:
            write_atomic(self.path, state)

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`; it includes a hash of the trained weights."""
        trained = self.path.is_file()
        weights = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16] if trained else None
        judging = {"calibration": self.calibration, "validation": self.validation}
        return {**self._training_facts, **judging, "weights": weights}

    @cached_property
    def _training_facts(self) -> dict[str, Any]:
        """Everything that the trained weights depend on, apart from the machine."""
        return {
            "estimator": "supernet",
            "data_fingerprint": load_data(self.data).fingerprint(),
            **{name: getattr(self, name) for name in _TRAINING_SETTINGS},
            **self.pool.fingerprint(),
            **self.recipe.settings(),
        }

    @property
    def path(self) -> Path:
        """Path of the trained weights, in the user's cache."""
        return cache_folder("supernets") / f"{digest(self._training_facts)}.safetensors"

    # -- training ---------------------------------------------------------------------------

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; trains the supernet, or resumes an interrupted training."""
        remarks = prepare_data(self.data, self.resolution, step)
        with FileLock(self.path.with_suffix(".lock")):  # another search may train the same one
            if not self.path.is_file():
                self._prepare(step)
        return remarks

    def _prepare(self, step: Step | None) -> None:
        data = shared_data(self.data, self.resolution)
        # Nearly every step has layers of different shapes, which oneDNN would compile again.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(CACHED_KERNELS))
        batches = Batches(data, self.recipe.batch_size, self.seed)
        recipe = self.recipe.replace(epochs=batches.epochs(self.images, self.most_epochs))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = _SampledPaths(self._draw, self.paths, recipe)
            trainer = Trainer(model, batches, recipe, self.seed)
            checkpoint = self.path.with_suffix(".checkpoint")
            about = {"supernet": digest(self._training_facts)}
            if checkpoint.is_file():
                load_checkpoint(trainer, checkpoint, about)
            try:
                with machine_for("training"):
                    self._train(trainer, checkpoint, about, step)
            except TrainingError as error:
                checkpoint.unlink(missing_ok=True)
                raise MixnasError(f"the supernet: {error}") from None
        trained: Any = trainer.evaluated_model
        save_weights(trained.bank, self.path, {})
        checkpoint.unlink(missing_ok=True)

    def _draw(self, rng: random.Random) -> NetworkSpec:
        pool: NetworkPool = self.pool
        return widened(pool.draw(rng), self.width)

    @staticmethod
    def _train(
        trainer: Trainer, checkpoint: Path, about: dict[str, Any], step: Step | None
    ) -> None:
        checkpointer = Checkpointer(trainer, checkpoint, about, CHECKPOINT_SECONDS)
        for done in trainer.steps():
            if step is not None:
                step(done, trainer.total)
            checkpointer.save_if_due()

    # -- judging ----------------------------------------------------------------------------

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses the images that calibrate a network."""
        started = time.perf_counter()
        if not self.path.is_file():
            raise EstimateError(f"the supernet {self.path} has not been trained")
        bank = _trained_bank(self.path)
        spec = widened(spec, self.width)
        untrained = bank.missing_share(spec)
        if untrained > MOST_UNTRAINED:
            raise EstimateError(
                f"{untrained:.0%} of its weights are not in the supernet, which was trained for "
                "another space"
            )
        if untrained:  # slightly larger than every network seen in training
            bank = copy.deepcopy(bank)  # the untrained weights must not affect other networks
            torch.manual_seed(self.seed)
            bank.add(spec)
        data = shared_data(self.data, self.resolution, self.validation)
        try:
            evaluation = self._evaluated(bank, spec, data, seed)
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        seconds = round(time.perf_counter() - started, 3)
        return Estimate(
            accuracy=None,
            loss=evaluation.loss,
            seconds=seconds,
            seed=seed,
            score=evaluation.accuracy,
        )

    @torch.no_grad()
    def _evaluated(
        self, bank: WeightBank, spec: NetworkSpec, data: ImageData, seed: int
    ) -> Evaluation:
        """Calibrate batch normalization on training images, then evaluate on validation images."""
        network = skeleton(spec, momentum=None)
        state = {**bank.weights(spec), **fresh_buffers(spec)}
        network.load_state_dict(state, assign=True)
        batches = Batches(data, EVALUATION_BATCH, seed)
        augmentation = Augmentation(self.recipe, batches.statistics())
        network.train()
        for number, (images, _) in enumerate(batches.train(0)):
            if number * EVALUATION_BATCH >= self.calibration:
                break
            network(augmentation.normalise(images))
        return evaluate(network, batches, "validation", augmentation, Placement())


class _SampledPaths(nn.Module):
    """The supernet in training: every batch passes through one network or several.

    Attributes:
        bank: The shared weights; the checkpoints of a training name them by this attribute.
    """

    def __init__(self, draw: DrawNetwork, paths: int, recipe: Recipe) -> None:
        super().__init__()
        self.bank = WeightBank(recipe.zero_residuals)
        self._draw, self._paths = draw, paths
        self._drops = (recipe.dropout, recipe.drop_path)
        scanned = [draw(random.Random(seed)) for seed in range(SCANNED)]
        for spec in scanned:
            self.bank.add(spec)
        by_cost = sorted(scanned, key=lambda spec: count(spec).madds)
        self._extremes = [by_cost[-1], by_cost[0]]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (paths x B, classes) of networks drawn with torch's random generator.

        Args:
            images: Images, (B, 3, H, W).
        """
        rng = random.Random(int(torch.randint(1 << 62, ())))
        specs = self._extremes[: self._paths] if self._paths > 1 else []
        specs = [*specs, *(self._draw_fitting(rng) for _ in range(self._paths - len(specs)))]
        logits = [self.bank(spec, images, fresh_buffers(spec), self._drops) for spec in specs]
        return torch.cat(logits)

    def _draw_fitting(self, rng: random.Random) -> NetworkSpec:
        """Draw a network that the bank has room for, as it has for nearly all of them."""
        while True:
            spec = self._draw(rng)
            if not self.bank.missing_share(spec):
                return spec


@lru_cache(maxsize=1)
def _trained_bank(path: Path) -> WeightBank:
    bank = WeightBank()
    for name, tensor in load_file(path).items():
        bank.tensors[name.removeprefix("tensors.")] = nn.Parameter(tensor)
    return bank
