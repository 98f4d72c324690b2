"""The training loop, and the evaluation of a network on a split of the data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from nas.data import Part
from nas.errors import MixnasError
from nas.torch_model import zero_residuals
from nas.train.augment import Augmentation, MixedLabels
from nas.train.batches import BatchSource, derive_seed
from nas.train.optimisers import centralise, open_optimiser
from nas.train.placement import Placement, to_host
from nas.train.recipe import Recipe

CHECK_INTERVAL = 32  # steps between two checks of the loss, which on a GPU wait for the device


class TrainingError(Exception):
    """Training that cannot continue; trials record the text as the reason for their failure."""


class Teacher(Protocol):
    """A trained network whose predictions a student learns from."""

    def __call__(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return logits (B, classes) for images (B, 3, H, W) normalized by `mean` and `std`."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Result of a network on a split of the data.

    Attributes:
        accuracy: Top-1 accuracy, 0..1.
        top5: Top-5 accuracy, 0..1; 1 if there are at most five classes.
        loss: Mean cross entropy.
    """

    accuracy: float
    top5: float
    loss: float


class Trainer:
    """A training that proceeds step by step.

    All randomness of a step is derived from the seed and the number of the step, so that a
    training that is interrupted and restored continues exactly as it would have.

    Attributes:
        model: Network being trained.
        total: Number of steps of the whole training.
        step: Number of steps taken.
        last_loss: Loss of the latest step.
        sums: Sums of the losses and of the accuracies of the current epoch's steps, shape (2,).
        losses: Mean loss of each completed epoch.
        accuracies: Mean accuracy on the (augmented) training images in each completed epoch, 0..1.
    """

    def __init__(
        self,
        model: nn.Module,
        source: BatchSource,
        recipe: Recipe,
        seed: int,
        placement: Placement | None = None,
        teacher: Teacher | None = None,
        parts: int = 1,
    ) -> None:
        """Prepare the training of a freshly built model, which is trained in place.

        Args:
            model: Network: images (B, 3, H, W) -> logits (B, classes).
            source: Source of the images.
            recipe: How to train.
            seed: Random seed of augmentation and dropout.
            placement: Device and processes to train on; None for the CPU.
            teacher: Network to distill from; None for none.
            parts: Number of parts in which the gradients of a batch are computed one after the
                other, so that they need less memory; batch normalization sees one part at a time.

        Raises:
            MixnasError: If the recipe cannot be used with this placement, or names an unknown
                optimizer.
        """
        self.placement = placement or Placement()
        self.model = self.placement.place(model)
        if recipe.zero_residuals:
            zero_residuals(self.model)
        if recipe.sam and self.placement.precision == "fp16":
            raise MixnasError("sharpness-aware minimization cannot be used with fp16; use bf16")
        self.source, self.recipe, self.seed, self.teacher = source, recipe, seed, teacher
        self._parts = parts
        self.augmentation = Augmentation(recipe, source.statistics(), self.placement.device)
        self.optimiser = open_optimiser(self.model, recipe)
        self.average = _average(self.model) if recipe.ema else None
        self._training_module = self.placement.training_module(self.model)
        self.total = max(1, round(recipe.epochs * len(source)))
        self.step = 0
        self.losses: list[float] = []
        self.last_loss = torch.zeros(())
        self.accuracies: list[float] = []
        self.sums = self.placement.accumulator(2)

    @property
    def epoch_steps(self) -> int:
        """Number of steps of one epoch."""
        return len(self.source)

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that is evaluated and saved: the moving average if the recipe asks for one.

        See also `final_weights`.
        """
        return self.model if self.average is None else self.average.module

    def steps(self, until: int | None = None) -> Iterator[int]:
        """Train, and yield the number of steps taken so far after each step.

        Args:
            until: Number of steps, from the start of the training, at which to stop; None to train
                to the end.

        Raises:
            TrainingError: If the loss is no longer finite, or no image can be read.
        """
        until = self.total if until is None else min(until, self.total)
        while self.step < until:
            epoch, begin = divmod(self.step, self.epoch_steps)
            self._training_module.train()
            before = self.step
            for images, labels in self.source.train(epoch, begin):
                self._take_step(images, labels)
                yield self.step
                if self.step >= until:
                    break
            if self.step == before:
                raise TrainingError("none of the training images can be read")

    def _take_step(self, images: Tensor, labels: Tensor) -> None:
        torch.manual_seed(derive_seed(self.seed, self.step, self.placement.rank))
        rate = self.recipe.rate(self.step, self.total, self.epoch_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images, labels = self.placement.to_device(images, labels)
        images, target = self.augmentation.mix(self.augmentation.train(images), labels)
        if self.recipe.sam:
            loss, accuracy = self._take_sharpness_aware_step(images, target)
        else:
            loss, accuracy = self._compute_gradients(images, target)
            self.placement.step(self.optimiser)
        if self.average is not None:
            _update(self.average, self.model, self.recipe.ema)
        self._record(loss, accuracy)

    def _take_sharpness_aware_step(
        self, images: Tensor, target: MixedLabels
    ) -> tuple[Tensor, Tensor]:
        """Climb, then descend from there; return the loss and the accuracy before.

        Both passes see the same network: they drop the same units, and a supernet draws the same
        paths.
        """
        optimiser: Any = self.optimiser
        seed = derive_seed(self.seed, self.step, self.placement.rank, 1)
        torch.manual_seed(seed)
        found = self._compute_gradients(images, target)
        optimiser.first_step(zero_grad=True)
        torch.manual_seed(seed)
        self._compute_gradients(images, target)
        optimiser.second_step()
        return found

    def _compute_gradients(self, images: Tensor, target: MixedLabels) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch; return its loss and its accuracy."""
        self.optimiser.zero_grad(set_to_none=True)
        parts = min(self._parts, max(1, len(images) // 2))  # a batch of one has no variance
        if parts == 1:
            loss, accuracy = self._add_gradients(images, target, 1.0)
        else:
            pieces = zip(images.tensor_split(parts), target.split(parts), strict=True)
            shares = [(piece, len(piece[0]) / len(images)) for piece in pieces]
            results = [(share, *self._add_gradients(*piece, share)) for piece, share in shares]
            loss = torch.stack([share * value for share, value, _ in results]).sum()
            accuracy = torch.stack([share * value for share, _, value in results]).sum()
        self.placement.finish_gradients(self.optimiser)
        if self.recipe.centralise:
            centralise(self.model.parameters())
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        return loss, accuracy

    def _add_gradients(
        self, images: Tensor, target: MixedLabels, share: float
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of images that are a share of their batch."""
        with self.placement.autocast():
            logits = self._training_module(images)
        logits = logits.float()
        loss = self._loss(images, target, logits)
        self.placement.backward(loss if share == 1 else share * loss)
        return loss.detach(), target.accuracy(logits.detach())

    def _loss(self, images: Tensor, target: MixedLabels, logits: Tensor) -> Tensor:
        """Return the loss of predictions, shape ()."""
        loss = target.loss(logits, self.recipe.label_smoothing)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher(images, self.augmentation.mean, self.augmentation.std).float()
        return distilled(loss, logits, taught, self.recipe)

    def _record(self, loss: Tensor, accuracy: Tensor) -> None:
        """Count a step, and add its loss and accuracy to those of the epoch.

        Raises:
            TrainingError: If the loss is no longer finite.
        """
        self.last_loss = loss
        self.sums = self.sums + torch.stack([loss, accuracy])
        self.step += 1
        epoch_ended = self.step % self.epoch_steps == 0 or self.step == self.total
        if loss.is_cpu or epoch_ended or self.step % CHECK_INTERVAL == 0:
            self._check_finite()
        if epoch_ended:
            steps = (self.step - 1) % self.epoch_steps + 1  # the last epoch may be a part of one
            means = self.placement.sum_over_processes(self.sums) / self.placement.world / steps
            mean_loss, mean_accuracy = to_host(means).tolist()
            self.losses.append(mean_loss)
            self.accuracies.append(mean_accuracy)
            self.sums = torch.zeros_like(self.sums)

    def _check_finite(self) -> None:
        loss, _ = to_host(self.sums).tolist()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the training loss is {loss} at step {self.step} of {self.total}; try a learning "
                f"rate below {self.recipe.learning_rate:g}, or gradient clipping"
            )

    def evaluate(self, part: Part, hits: list[Tensor] | None = None) -> Evaluation:
        """Evaluate `evaluated_model` on a split of the data, all processes together.

        Args:
            part: Split to evaluate on.
            hits: See `evaluate`.

        Raises:
            TrainingError: If the loss is not finite.
        """
        self.placement.synchronize_buffers(self.evaluated_model)
        with self.final_weights():
            return evaluate(
                model=self.evaluated_model,
                source=self.source,
                part=part,
                augmentation=self.augmentation,
                placement=self.placement,
                hits=hits,
            )

    @contextmanager
    def final_weights(self) -> Iterator[None]:
        """Give the model its final weights, where an optimizer trains others (schedule-free).

        They are those to evaluate and to save.
        """
        to_final, to_training = (getattr(self.optimiser, n, None) for n in ("eval", "train"))
        if to_final is None or to_training is None:
            yield
            return
        to_final()
        try:
            yield
        finally:
            to_training()


def distilled(loss: Tensor, logits: Tensor, taught: Tensor, recipe: Recipe) -> Tensor:
    """Blend a loss with the divergence from a teacher (Hinton et al. 2015, section 2).

    Args:
        loss: Loss of the student by the labels, shape ().
        logits: Logits of the student, (B, classes).
        taught: Logits of the teacher, without gradients, (B, classes).
        recipe: Share of the divergence, and its temperature.
    """
    divergence = F.kl_div(
        F.log_softmax(logits / recipe.temperature, 1),
        F.log_softmax(taught / recipe.temperature, 1),
        log_target=True,
        reduction="batchmean",
    )
    return (1 - recipe.distill) * loss + recipe.distill * recipe.temperature**2 * divergence


def _average(model: nn.Module) -> AveragedModel:
    """Return an exponential moving average of a model's parameters and buffers."""
    return AveragedModel(model, use_buffers=True)


@torch.no_grad()
def _update(averaged: AveragedModel, model: nn.Module, decay: float) -> None:
    """Move an average towards a model.

    As in TensorFlow, the decay after n steps is min(decay, (1 + n) / (10 + n)), so that the average
    follows the first steps quickly. torch's own method waits for the device at every step.
    """
    steps = float(averaged.n_averaged)  # in main memory, wherever the model is
    weight = 1 - min(decay, (1 + steps) / (10 + steps)) if steps else 1.0
    pairs: list[tuple[Tensor, Tensor]] = []
    pairs += [*zip(averaged.module.parameters(), model.parameters(), strict=True)]
    pairs += [*zip(averaged.module.buffers(), model.buffers(), strict=True)]
    moving = [pair for pair in pairs if steps and pair[0].is_floating_point()]
    copied = [pair for pair in pairs if not (steps and pair[0].is_floating_point())]
    for kind in {average.dtype for average, _ in moving}:
        group = [pair for pair in moving if pair[0].dtype == kind]
        averages, values = zip(*group, strict=True)
        torch._foreach_lerp_(averages, values, weight)
    for average, value in copied:
        average.copy_(value)
    averaged.n_averaged += 1


@torch.no_grad()
def evaluate(
    model: nn.Module,
    source: BatchSource,
    part: Part,
    augmentation: Augmentation,
    placement: Placement,
    hits: list[Tensor] | None = None,
) -> Evaluation:
    """Evaluate a model on a split of the data, all processes together.

    Args:
        model: Network: normalized images (B, 3, H, W) -> logits (B, classes).
        source: Source of the images.
        part: Split to evaluate on.
        augmentation: Augmentation of the training, whose normalization is used.
        placement: Device and processes of the model.
        hits: List that receives for each batch, in the order of the images, which ones the model
            classifies correctly: truth values (B,), of the images of this process. None for none.

    Raises:
        TrainingError: If the loss is not finite, or no image can be read.
    """
    model.eval()
    sums = placement.accumulator(4)
    for images, labels in source.evaluate(part):
        images, labels = placement.to_device(images, labels)
        with placement.autocast():
            logits = model(augmentation.normalise(images))
        logits = logits.float()
        right = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        if hits is not None:
            hits.append(right[:, 0])
        loss = F.cross_entropy(logits, labels, reduction="sum")
        seen = labels.new_full((), len(labels))
        counts = [right[:, 0].sum(), right.any(1).sum(), loss, seen]
        sums += torch.stack([number.to(sums.dtype) for number in counts])
    top1, top5, loss_sum, images_seen = to_host(placement.sum_over_processes(sums)).tolist()
    if not images_seen:
        raise TrainingError(f"none of the {part} images can be read")
    if not math.isfinite(loss_sum):
        raise TrainingError(f"the {part} loss is {loss_sum}")
    return Evaluation(top1 / images_seen, top5 / images_seen, loss_sum / images_seen)
