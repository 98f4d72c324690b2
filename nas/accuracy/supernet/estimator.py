"""The supernet as an estimator: trained once, then a network's score takes seconds."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import random
import time
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
from filelock import FileLock
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file
from torch import Tensor, nn

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import prepare_data, shared_data, widened
from nas.accuracy.supernet.bank import Bank, fresh_buffers, skeleton
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
from nas.train.checkpoint import load_checkpoint, save_checkpoint, save_weights
from nas.train.loop import Evaluation, Trainer, TrainingError, evaluate
from nas.train.placement import Placement
from nas.train.recipe import Recipe

_TRAINING = ("images", "most_epochs", "resolution", "width", "paths", "seed")
SCANNED = 2_000  # networks looked at to find out how large the shared weights must be
MOST_UNTRAINED = 0.02  # of a network's weights
CHECKPOINT_SECONDS = 30.0  # seconds between two checkpoints
COMPILED = 100_000  # kernels of oneDNN that are kept; some kilobytes each
AtLeastOne = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Supernet:
    """Judges networks by their accuracy with weights that all networks share.

    Attributes:
        data: name of the data set.
        population: the networks; only training needs it.
        images: seen in training, all in all; fewer of a small data set.
        most_epochs: how often training goes through the data set, at most.
        resolution: side of the images in pixels.
        width: factor of all channels.
        paths: networks trained by every batch: 1 for a single path (Guo et al. 2020); from 2 on
            the sandwich rule (Yu and Huang 2019): the largest, the smallest, then any.
        calibration: images that give a network its batch normalisation's statistics.
        validation: images that it is judged by.
        recipe: how to train. AdamW ranks networks better after few steps than SGD does
            (`experiments/results/ranking.json`). Residual branches begin at zero: without it,
            networks of the large MixNet space stay 12 percentage points less accurate, and are
            ranked worse (`experiments/results/ranking_mixnets.json`).
        seed: of the training.
    """

    data: str
    population: Any = dataclasses.field(default=None, repr=False)
    images: AtLeastOne = 200_000
    most_epochs: AtLeastOne = 40
    resolution: Annotated[int, Field(ge=8, le=2048)] = 32
    width: Annotated[float, Field(gt=0, le=4)] = 1.0
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
        """Leave the population behind: workers find trained weights."""
        return {**self.__dict__, "population": None, "_training": self._training}

    def state(self) -> bytes:
        """See `PortableEstimator`: the trained weights."""
        return self.path.read_bytes()

    def unpack(self, state: bytes) -> None:
        """See `PortableEstimator`; others that were trained here with the same settings go."""
        if not self.path.is_file() or self.path.read_bytes() != state:
            write_atomic(self.path, state)

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`; two machines may train to other weights."""
        known = self.path.is_file()
        weights = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16] if known else None
        judged = {"calibration": self.calibration, "validation": self.validation}
        return {**self._training, **judged, "weights": weights}

    @cached_property
    def _training(self) -> dict[str, Any]:
        """What the weights follow from."""
        return {
            "estimator": "supernet",
            "data_fingerprint": load_data(self.data).fingerprint(),
            **{name: getattr(self, name) for name in _TRAINING},
            **self.population.fingerprint(),
            **self.recipe.settings(),
        }

    @property
    def path(self) -> Path:
        """Of the trained weights, in the user's cache."""
        return cache_folder("supernets") / f"{digest(self._training)}.safetensors"

    # -- training ---------------------------------------------------------------------------

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`: train, or go on with a training that was interrupted."""
        remarks = prepare_data(self.data, self.resolution, step)
        with FileLock(self.path.with_suffix(".lock")):  # who comes second finds it trained
            if not self.path.is_file():
                self._prepare(step)
        return remarks

    def _prepare(self, step: Step | None) -> None:
        data = shared_data(self.data, self.resolution)
        # Nearly every step has layers of other shapes: oneDNN would compile them again and again.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(COMPILED))
        batches = Batches(data, self.recipe.batch_size, self.seed)
        recipe = self.recipe.replace(epochs=batches.epochs(self.images, self.most_epochs))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = _Paths(self._drawn, self.paths, recipe)
            trainer = Trainer(model, batches, recipe, self.seed)
            checkpoint = self.path.with_suffix(".checkpoint")
            about = {"supernet": digest(self._training)}
            if checkpoint.is_file():
                load_checkpoint(trainer, checkpoint, about)
            try:
                with machine_for("training"):
                    self._train(trainer, checkpoint, about, step)
            except TrainingError as error:
                checkpoint.unlink(missing_ok=True)
                raise MixnasError(f"the supernet: {error}") from None
        trained: Any = trainer.best_model
        save_weights(trained.bank, self.path, {})
        checkpoint.unlink(missing_ok=True)

    def _drawn(self, rng: random.Random) -> NetworkSpec:
        return widened(self.population.draw(rng), self.width)

    @staticmethod
    def _train(
        trainer: Trainer, checkpoint: Path, about: dict[str, Any], step: Step | None
    ) -> None:
        saved = time.monotonic()
        for done in trainer.steps():
            if step is not None:
                step(done, trainer.total)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(trainer, checkpoint, about)
                saved = time.monotonic()

    # -- judging ----------------------------------------------------------------------------

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses the images of batch normalisation."""
        started = time.perf_counter()
        if not self.path.is_file():
            raise EstimateError(f"the supernet {self.path} has not been trained")
        bank = _trained(self.path)
        spec = widened(spec, self.width)
        untrained = bank.lacking(spec)
        if untrained > MOST_UNTRAINED:
            raise EstimateError(
                f"{untrained:.0%} of its weights are not in the supernet, which was trained for "
                "another space"
            )
        if untrained:  # a little larger than all that were seen in training
            bank = copy.deepcopy(bank)  # others are judged by what was trained alone
            torch.manual_seed(self.seed)
            bank.hold(spec)
        data = shared_data(self.data, self.resolution, self.validation)
        try:
            found = self._judged(bank, spec, data, seed)
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        seconds = round(time.perf_counter() - started, 3)
        return Estimate(None, found.loss, seconds, seed, found.accuracy)

    @torch.no_grad()
    def _judged(self, bank: Bank, spec: NetworkSpec, data: ImageData, seed: int) -> Evaluation:
        network = skeleton(spec, momentum=None)
        state = {**bank.weights(spec), **fresh_buffers(spec)}
        network.load_state_dict(state, assign=True)
        batches = Batches(data, 128, seed)
        augmentation = Augmentation(self.recipe, batches.statistics())
        network.train()
        for number, (images, _) in enumerate(batches.train(0)):
            if number * 128 >= self.calibration:
                break
            network(augmentation.normalise(images))
        return evaluate(network, batches, "validation", augmentation, Placement())


class _Paths(nn.Module):
    """The supernet in training: every batch goes through one network or several."""

    def __init__(self, draw: Any, paths: int, recipe: Recipe) -> None:
        super().__init__()
        self.bank = Bank(recipe.zero_residuals)
        self._draw, self._paths = draw, paths
        self._drops = (recipe.dropout, recipe.drop_path)
        scanned = [draw(random.Random(seed)) for seed in range(SCANNED)]
        for spec in scanned:
            self.bank.hold(spec)
        by_cost = sorted(scanned, key=lambda spec: count(spec).madds)
        self._extremes = [by_cost[-1], by_cost[0]]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (paths x B, classes) of networks that torch's generator chooses."""
        rng = random.Random(int(torch.randint(1 << 62, ())))
        specs = self._extremes[: self._paths] if self._paths > 1 else []
        specs = [*specs, *(self._fitting(rng) for _ in range(self._paths - len(specs)))]
        answers = [self.bank(spec, images, fresh_buffers(spec), self._drops) for spec in specs]
        return torch.cat(answers)

    def _fitting(self, rng: random.Random) -> NetworkSpec:
        """Draw a network that there are weights for; nearly every one is."""
        while True:
            spec: NetworkSpec = self._draw(rng)
            if not self.bank.lacking(spec):
                return spec


@lru_cache(maxsize=1)
def _trained(path: Path) -> Bank:
    bank = Bank()
    for name, tensor in load_file(path).items():
        bank.tensors[name.removeprefix("tensors.")] = nn.Parameter(tensor)
    return bank
