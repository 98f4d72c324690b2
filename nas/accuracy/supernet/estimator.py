"""The supernet as an estimator: it is trained once; after that, a score takes seconds."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ConfigDict, NonNegativeInt
from pydantic.dataclasses import dataclass

from nas.accuracy.base import Estimate, EstimateError, Estimator
from nas.accuracy.fidelity import (
    AtLeastOne,
    Images,
    Resolution,
    WidthFactor,
    forget_images,
    widened,
)
from nas.accuracy.memory import out_of_memory
from nas.accuracy.sharing.pretrained import open_pretrained
from nas.accuracy.supernet.ensemble import Ensemble
from nas.accuracy.supernet.others import (
    COMPARED,
    drawn_estimates,
    estimates_of,
    other_estimators,
    remark_on,
    remarks_on,
)
from nas.accuracy.supernet.slices import TrainedSupernet, trained_bank, weights_digest
from nas.accuracy.supernet.training import (
    CHECKPOINT_SECONDS,
    FEWEST_IMAGES,
    SupernetTraining,
)
from nas.accuracy.zero_cost import SCORES
from nas.document import Document, digest, read_document
from nas.errors import MixnasError, unknown
from nas.files import cache_folder, in_turn, write_atomic, write_changed
from nas.machine import machine_for
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.train.loop import Evaluation, TrainingError
from nas.train.placement import gpus_of, open_placement, release_memory
from nas.train.recipe import Recipe, Share
from nas.train.settings import ON_THE_CPU, PlacementSettings

SAMPLED = 10  # networks that tell how much of the weights comes from a pretrained one
_TRAINING_SETTINGS = ("images", "most_epochs", "resolution", "width", "paths", "seed")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Supernet:
    """Evaluates networks by their validation accuracy with weights that all networks share.

    The score is the mean of this accuracy and of those that a zero-cost score and, if asked for, a
    short training suggest: together they rank networks better than each of them alone
    (`nas.accuracy.supernet.ensemble`).

    Attributes:
        data: Name or path of the data set.
        pool: Networks to train; needed by the training alone.
        images: Number of images seen in training, over all epochs.
        most_epochs: Upper bound on the number of epochs, which small data sets reach.
        resolution: Height and width of the images, in pixels.
        width: Width multiplier.
        paths: Number of networks trained on every batch: 1 for a single path (Guo et al. 2020);
            from 3 on the sandwich rule (Yu and Huang 2019): the largest network, the smallest one,
            then random ones. 2 are the largest and a random one. All others learn from the largest
            one's predictions, too, by the recipe's ``distill``.
        shrinking: Share of the training, at its beginning, in which networks join one after
            another, from the largest to the smallest: progressive shrinking (Cai et al. 2020) in
            one stage. 0 to train all networks from the beginning.
        calibration: Number of training images from which the batch-normalization statistics of a
            network are estimated before it is evaluated, rounded up to whole batches of 128.
        validation: Maximum number of validation images that a network is evaluated on.
        zero_cost: Zero-cost score that counts as much as the accuracy, one of
            `nas.accuracy.zero_cost.SCORES`; empty for none.
        short: Images that a network sees in a training of its own, by the recipe of
            `ShortTraining`; its accuracy counts as much, too. 0 for none. Most of the time that a
            score takes is then spent on it.
        recipe: How to train; the number of epochs follows from `images`. After few steps, AdamW
            ranks networks better than SGD (`experiments/results/ranking.json`). Residual branches
            start at zero: otherwise the networks of the large MixNet space are 12 percentage points
            less accurate and are ranked worse (`experiments/results/ranking_mixnets.json`).
        seed: Random seed of the training.
        processes: Number of processes that train together, with a path and a share of each batch
            for every one; None for one, or one per GPU as long as each has `FEWEST_IMAGES`.
        placement: Where to train and evaluate, and how precisely.
        images_per_class: Number of images of each class to use, at most; None for all.
        weights: Pretrained network that the training begins from, as far as networks share its
            weights (`nas.accuracy.sharing.pretrained`); empty for random weights. The recipe says
            how images are normalized, which should be as for the pretrained network.
    """

    data: str
    pool: Any = dataclasses.field(default=None, repr=False)
    images: AtLeastOne = 200_000
    most_epochs: AtLeastOne = 40
    resolution: Resolution = 32
    width: WidthFactor = 1.0
    paths: AtLeastOne = 1
    shrinking: Share = 0.0
    calibration: AtLeastOne = 1_024
    validation: AtLeastOne = 5_000
    zero_cost: str = "naswot"
    short: NonNegativeInt = 0
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
    weights: str = ""

    is_accuracy = True

    def __post_init__(self) -> None:
        """Check the zero-cost score.

        Raises:
            MixnasError: If there is no such score.
        """
        if self.zero_cost and self.zero_cost not in SCORES:
            raise MixnasError(unknown("zero-cost score", self.zero_cost, SCORES))

    @property
    def label(self) -> str:
        """See `Estimator.label`."""
        others = [self.zero_cost, "short training" if self.short else ""]
        *most, last = ["accuracy with shared weights", *filter(None, others)]
        return f"{', '.join(most)} and {last}" if most else last

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
        write_changed(self.path, state)

    def restore(self, kept: Path, facts: Mapping[str, Any]) -> None:
        """Take over what a run was scored with, even if the cache of this machine has other data.

        So a run that was copied here, or whose cache was cleared, does not train weights again, and
        its scores stay on one scale.

        Args:
            kept: File of the run's weights; they are copied if the cache has none.
            facts: The `fingerprint` behind the run's scores. Weights that are not of it are left
                alone, and so is an ensemble that is damaged: these facts are compared later.
        """
        if not self.path.is_file() and kept.is_file():
            state = kept.read_bytes()
            if weights_digest(state) == facts.get("weights"):
                self.import_state(state)
        if self.others:
            with suppress(MixnasError):
                kept_facts = Document("the run's scores", facts.get("ensemble"))
                self.__dict__["_ensemble"] = Ensemble.of_document(kept_facts, 1 + len(self.others))

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`; it includes a hash of the trained weights."""
        facts = self._facts_of_estimates
        if self.others:
            known = self._known_ensemble()
            facts["ensemble"] = None if known is None else known.facts()
        return facts

    @property
    def _facts_of_estimates(self) -> dict[str, Any]:
        """Everything that each estimate of a network depends on, apart from the machine."""
        weights = weights_digest(self.path.read_bytes()) if self.path.is_file() else None
        facts = {**self._training_facts, "weights": weights}
        facts |= {"calibration": self.calibration, "validation": self.validation}
        if self.others:
            facts["others"] = [each.fingerprint() for each in self.others]
            facts["compared"] = COMPARED
        return facts

    @cached_property
    def _training_facts(self) -> dict[str, Any]:
        """Everything that the trained weights depend on, apart from the machine."""
        return {
            "estimator": "supernet",
            "batch_norms": "by activation function",
            "data_fingerprint": self.shown.source().fingerprint(),
            **{name: getattr(self, name) for name in _TRAINING_SETTINGS},
            **self.pool.fingerprint(),
            **self.recipe.facts(),
            **self.placement.facts(self.resolution),
            **({"teacher": "largest"} if self.paths > 1 and self.recipe.distill else {}),
            **({"shrinking": self.shrinking} if self.shrinking else {}),
            **({"processes": self.trained_by} if self.trained_by > 1 else {}),
            **({"pretrained": open_pretrained(self.weights).digest()} if self.weights else {}),
        }

    @property
    def trained_by(self) -> int:
        """Number of processes that train together."""
        if self.processes is not None:
            return self.processes
        gpus = len(gpus_of(self.placement))
        return max(1, min(gpus, self.recipe.batch_size // FEWEST_IMAGES))

    @property
    def path(self) -> Path:
        """Path of the trained weights, in the user's cache."""
        return cache_folder("supernets") / f"{digest(self._training_facts)}.safetensors"

    # -- training ---------------------------------------------------------------------------

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; trains the supernet, or resumes an interrupted training."""
        remarks = self.shown.prepare(self.placement.kind, step)
        if self.weights:
            rng = random.Random(self.seed)
            drawn = [widened(self.pool.draw(rng), self.width) for _ in range(SAMPLED)]
            remarks += open_pretrained(self.weights).remarks_on(drawn, self.resolution)
        with in_turn(self.path.with_suffix(".lock"), "another process trains the same supernet"):
            try:
                if not self.path.is_file():
                    remarks += self._training().run(self.trained_by, step)
                if self.others:
                    remarks += self._keep_ensemble(step)
            finally:
                if self.placement.kind != "cpu":  # workers will need the device's memory
                    forget_images()
                    trained_bank.cache_clear()
                    release_memory()
        return remarks

    def _keep_ensemble(self, step: Step | None) -> list[str]:
        """Compare estimates unless that is done; the result goes to workers with the estimator.

        Returns:
            Remarks for the user.

        Raises:
            MixnasError: If no network can be evaluated.
        """
        known, remarks = self._known_ensemble(), list[str]()
        if known is None:
            with machine_for("training", open_placement(self.placement, self.resolution).device):
                drawn = drawn_estimates(
                    lambda spec: self.each_estimate(spec, self.seed), self.pool, self.seed, step
                )
            known, remarks = Ensemble.of(drawn), remarks_on(self.others, drawn)
            write_atomic(self._ensemble_path, json.dumps(known.facts()))
        self.__dict__["_ensemble"] = known
        return remarks

    def _training(self) -> SupernetTraining:
        return SupernetTraining(
            shown=dataclasses.replace(self.shown, validation=None),
            pool=self.pool,
            images=self.images,
            most_epochs=self.most_epochs,
            width=self.width,
            paths=self.paths,
            shrinking=self.shrinking,
            recipe=self.recipe,
            seed=self.seed,
            placement=self.placement,
            path=self.path,
            about={"supernet": digest(self._training_facts)},
            weights=self.weights,
            save_every=CHECKPOINT_SECONDS,
        )

    # -- evaluation -------------------------------------------------------------------------

    @property
    def _ensemble_path(self) -> Path:
        """Path of the distributions of the estimates, which belong to these weights."""
        return self.path.with_name(f"{digest(self._facts_of_estimates)}.ensemble.json")

    def _known_ensemble(self) -> Ensemble | None:
        """Return how estimates are distributed; None if that is not known, or the file damaged."""
        if "_ensemble" in self.__dict__:  # as `prepare` and `restore` leave it
            return cast("Ensemble", self.__dict__["_ensemble"])
        try:
            document = read_document(self._ensemble_path)
            return Ensemble.of_document(document, 1 + len(self.others))
        except MixnasError:
            return None

    @property
    def ensemble(self) -> Ensemble:
        """How estimates are distributed in the space.

        Raises:
            EstimateError: If the supernet has not been prepared, or nothing counts but accuracy.
        """
        known = self._known_ensemble()
        if known is None:
            raise EstimateError("the estimates of the supernet's networks have not been compared")
        return known

    @property
    def to_compare(self) -> int:
        """Number of networks that `prepare` will evaluate to find out how estimates vary."""
        return COMPARED if self.others and self._known_ensemble() is None else 0

    def _evaluation(self, spec: NetworkSpec, seed: int) -> Evaluation:
        """Return a network's evaluation with shared weights.

        Raises:
            EstimateError: If it cannot be evaluated.
        """
        try:
            return self.trained.slice_of(spec, seed).evaluate("validation")
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        except torch.OutOfMemoryError as error:
            raise EstimateError(out_of_memory(error)) from None

    def each_estimate(self, spec: NetworkSpec, seed: int) -> tuple[float, ...]:
        """Return a network's accuracy with shared weights, and what the other estimators say.

        Args:
            spec: The network.
            seed: As for `estimate`.

        Raises:
            EstimateError: If it cannot be evaluated.
        """
        accuracy = self._evaluation(spec, seed).accuracy
        return accuracy, *self._other_estimates(spec, seed)

    def _other_estimates(self, spec: NetworkSpec, seed: int) -> list[float]:
        return estimates_of(self.others, widened(spec, self.width), seed)

    @cached_property
    def others(self) -> list[Estimator]:
        """The estimators that count beside the accuracy with shared weights."""
        return other_estimators(
            self.shown, self.placement, self.zero_cost, self.short, self.recipe, self.weights
        )

    @property
    def trained(self) -> TrainedSupernet:
        """The trained weights, of which networks take slices."""
        return TrainedSupernet(
            path=self.path,
            shown=self.shown,
            width=self.width,
            calibration=self.calibration,
            recipe=self.recipe,
            seed=self.seed,
            placement=self.placement,
        )

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses the images that calibrate a network."""
        started = time.perf_counter()
        if not self.path.is_file():
            raise EstimateError(f"the supernet {self.path} has not been trained")
        evaluation = self._evaluation(spec, seed)
        score, others = evaluation.accuracy, []
        if self.others:
            others = self._other_estimates(spec, seed)
            score = self.ensemble.score((score, *others))
        return Estimate(
            accuracy=evaluation.accuracy,
            loss=evaluation.loss,
            seconds=round(time.perf_counter() - started, 3),
            seed=seed,
            score=score,
            remark=remark_on(self.others, others),
        )
