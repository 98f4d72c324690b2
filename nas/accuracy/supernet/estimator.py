"""The supernet as an estimator: it is trained once; after that, a score takes seconds."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import time
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import nn

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import (
    AtLeastOne,
    Images,
    Resolution,
    WidthFactor,
    forget_images,
    shown_at,
    widened,
)
from nas.accuracy.memory import out_of_memory
from nas.accuracy.supernet.bank import WeightBank
from nas.accuracy.supernet.skeletons import fresh_buffers, skeleton
from nas.accuracy.supernet.training import (
    CHECKPOINT_SECONDS,
    FEWEST_IMAGES,
    SupernetTraining,
)
from nas.document import digest
from nas.errors import MixnasError
from nas.files import cache_folder, in_turn, write_atomic
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import read_weights
from nas.train.augment import Augmentation
from nas.train.loop import Evaluation, TrainingError, evaluate
from nas.train.placement import Placement, gpus_of, open_placement, release_memory
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

_TRAINING_SETTINGS = ("images", "most_epochs", "resolution", "width", "paths", "seed")
MOST_UNTRAINED = 0.02  # largest share of untrained weights of a network that is evaluated
EVALUATION_BATCH = 128  # images


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Supernet:
    """Evaluates networks by their validation accuracy with weights that all networks share.

    Attributes:
        data: Name or path of the data set.
        pool: Networks to train; needed by the training alone.
        images: Number of images seen in training, over all epochs.
        most_epochs: Upper bound on the number of epochs, which small data sets reach.
        resolution: Height and width of the images, in pixels.
        width: Width multiplier.
        paths: Number of networks trained on every batch: 1 for a single path (Guo et al. 2020);
            from 2 on the sandwich rule (Yu and Huang 2019): the largest network, the smallest one,
            then random ones.
        calibration: Number of training images from which the batch-normalization statistics of a
            network are estimated before it is evaluated, rounded up to whole batches of 128.
        validation: Maximum number of validation images that a network is evaluated on.
        recipe: How to train; the number of epochs follows from `images`. After few steps, AdamW
            ranks networks better than SGD (`experiments/results/ranking.json`). Residual branches
            start at zero: otherwise the networks of the large MixNet space are 12 percentage points
            less accurate and are ranked worse (`experiments/results/ranking_mixnets.json`).
        seed: Random seed of the training.
        processes: Number of processes that train together, with a path and a share of each batch
            for every one; None for one, or one per GPU as long as each has `FEWEST_IMAGES`.
        placement: Where to train and evaluate, and how precisely.
        images_per_class: Number of images of each class to use, at most; None for all.
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
    processes: AtLeastOne | None = None
    placement: PlacementSettings = ON_THE_CPU
    images_per_class: int | None = None

    label = "accuracy with shared weights"
    is_accuracy = True

    @property
    def shown(self) -> Images:
        """The images that networks are shown."""
        return Images(self.data, self.resolution, self.images_per_class, self.validation)

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
            "data_fingerprint": self.shown.source().fingerprint(),
            **{name: getattr(self, name) for name in _TRAINING_SETTINGS},
            **self.pool.fingerprint(),
            **self.recipe.facts(),
            **self.placement.facts(self.resolution),
            **({"processes": self.trained_by} if self.trained_by > 1 else {}),
        }

    @property
    def trained_by(self) -> int:
        """Number of processes that train together."""
        if self.processes is not None:
            return self.processes
        gpus = len(gpus_of(self.placement))
        return max(1, min(gpus, self.recipe.batch_size // FEWEST_IMAGES))

    def _check_processes(self) -> None:
        """Check that there is a GPU for every process.

        Raises:
            MixnasError: If there are not as many.
        """
        gpus = len(gpus_of(self.placement))
        if gpus and self.trained_by > gpus:
            raise MixnasError(
                f"the supernet cannot be trained by {self.trained_by} processes, since "
                f"{self.placement.on} stands for {gpus} of the GPUs; set processes to {gpus} or "
                "less, or train it where there are more"
            )

    @property
    def path(self) -> Path:
        """Path of the trained weights, in the user's cache."""
        return cache_folder("supernets") / f"{digest(self._training_facts)}.safetensors"

    # -- training ---------------------------------------------------------------------------

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; trains the supernet, or resumes an interrupted training."""
        remarks = self.shown.prepare(self.placement.kind, step)
        with in_turn(self.path.with_suffix(".lock"), "another process trains the same supernet"):
            if not self.path.is_file():
                self._check_processes()
                try:
                    remarks += self._training().run(self.trained_by, step)
                finally:
                    if self.placement.kind != "cpu":  # workers will need the device's memory
                        forget_images()
                        release_memory()
        return remarks

    def _training(self) -> SupernetTraining:
        return SupernetTraining(
            shown=dataclasses.replace(self.shown, validation=None),
            pool=self.pool,
            images=self.images,
            most_epochs=self.most_epochs,
            width=self.width,
            paths=self.paths,
            recipe=self.recipe,
            seed=self.seed,
            placement=self.placement,
            path=self.path,
            about={"supernet": digest(self._training_facts)},
            save_every=CHECKPOINT_SECONDS,
        )

    # -- evaluation -------------------------------------------------------------------------

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses the images that calibrate a network."""
        started = time.perf_counter()
        if not self.path.is_file():
            raise EstimateError(f"the supernet {self.path} has not been trained")
        placement = open_placement(self.placement, self.resolution)
        bank = _trained_bank(self.path, placement.device)
        spec = shown_at(widened(spec, self.width), self.resolution)
        untrained = bank.missing_share(spec)
        if untrained > MOST_UNTRAINED:
            raise EstimateError(
                "it is outside the space that the supernet was trained for: "
                f"{untrained:.0%} of its weights are not in the supernet"
            )
        if untrained:  # slightly larger than every network seen in training
            bank = copy.deepcopy(bank)  # the untrained weights must not affect other networks
            torch.manual_seed(self.seed)
            bank.add(spec)
            bank.to(placement.device)
        try:
            evaluation = self._evaluated(bank, spec, placement, seed)
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        except torch.OutOfMemoryError as error:
            raise EstimateError(out_of_memory(error)) from None
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
        self, bank: WeightBank, spec: NetworkSpec, placement: Placement, seed: int
    ) -> Evaluation:
        """Calibrate batch normalization on training images, then evaluate on validation images."""
        network = skeleton(spec, momentum=None)
        state = {**bank.weights(spec), **fresh_buffers(spec, placement.device)}
        network.load_state_dict(state, assign=True)
        batches = self.shown.batches(EVALUATION_BATCH, seed, placement)
        augmentation = Augmentation(self.recipe, batches.statistics(), placement.device)
        network.train()
        for images, _ in islice(batches.train(0), math.ceil(self.calibration / EVALUATION_BATCH)):
            (images,) = placement.to_device(images)
            with placement.autocast():
                network(augmentation.normalise(images))
        return evaluate(network, batches, "validation", augmentation, placement)


@lru_cache(maxsize=1)
def _trained_bank(path: Path, device: str) -> WeightBank:
    bank = WeightBank()
    try:
        tensors = read_weights(path)
    except MixnasError as error:
        raise MixnasError(
            f"the supernet cannot be read ({error}); remove the file, and repeat the command to "
            "train it again"
        ) from None
    for name, tensor in tensors.items():
        bank.tensors[name.removeprefix("tensors.")] = nn.Parameter(tensor)
    return bank.to(device)
