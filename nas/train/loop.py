"""The training loop."""

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
from nas.train.augment import Augmentation, Mixed
from nas.train.batches import BatchSource, mixed_seed
from nas.train.optimisers import open_optimiser
from nas.train.placement import Placement
from nas.train.recipe import Recipe

LOOK_EVERY = 32  # steps between two looks at the loss where a look costs time, as on a GPU


class TrainingError(Exception):
    """A training that cannot go on; its text is the reason that a trial records."""


class Teacher(Protocol):
    """A network whose answers are learned from."""

    def __call__(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return its logits (B, classes) for images that were normalised by `mean` and `std`."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """How a network does on a part.

    Attributes:
        accuracy: share that is right (top-1).
        top5: share whose label is among the five likeliest; of all where there are five or fewer.
        loss: cross entropy.
    """

    accuracy: float
    top5: float
    loss: float


class Trainer:
    """A training that goes on step by step.

    Everything random of a step follows from the seed and the step's number, so that a training
    which is interrupted and restored goes on exactly as it would have.

    Attributes:
        model: being trained.
        total: steps of the whole training.
        step: steps taken.
        last_loss: of the latest step.
        sums: loss and share of right images, over the steps of the current epoch.
        losses: mean loss of every epoch that is done.
        accuracies: share of the (augmented) training images that was right in every such epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        source: BatchSource,
        recipe: Recipe,
        seed: int,
        placement: Placement | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Take a freshly built model, which is trained in place.

        Args:
            model: images -> logits.
            source: of the images.
            recipe: how to train.
            seed: of augmentation and dropout.
            placement: where; the CPU if None.
            teacher: to learn from as well.
        """
        self.placement = placement or Placement()
        self.model = self.placement.place(model)
        if recipe.zero_residuals:
            zero_residuals(self.model)
        if recipe.sam and self.placement.precision == "fp16":
            raise MixnasError("sharpness-aware minimisation does not go with fp16; use bf16")
        self.source, self.recipe, self.seed, self.teacher = source, recipe, seed, teacher
        self.augmentation = Augmentation(recipe, source.statistics())
        self.optimiser = open_optimiser(self.model, recipe)
        self.average = _average(self.model, recipe.ema) if recipe.ema else None
        self._trained = self.placement.trained(self.model)
        self.total = max(1, round(recipe.epochs * len(source)))
        self.step = 0
        self.losses: list[float] = []
        self.last_loss = torch.zeros(())
        self.accuracies: list[float] = []
        self.sums = torch.zeros(2, dtype=torch.float64)

    @property
    def epoch_steps(self) -> int:
        """Steps of one epoch."""
        return len(self.source)

    @property
    def best_model(self) -> nn.Module:
        """What is evaluated and kept: the moving average where there is one."""
        return self.model if self.average is None else self.average.module

    def steps(self, until: int | None = None) -> Iterator[int]:
        """Train, and yield the number of steps taken after each of them.

        Args:
            until: stop after so many of the whole training; at its end if None.

        Raises:
            TrainingError: when the loss is no longer finite.
        """
        until = self.total if until is None else min(until, self.total)
        while self.step < until:
            epoch, begin = divmod(self.step, self.epoch_steps)
            self._trained.train()
            before = self.step
            for images, labels in self.source.train(epoch, begin):
                self._take(images, labels)
                yield self.step
                if self.step >= until:
                    break
            if self.step == before:
                raise TrainingError("no image of the training part can be read")

    def _take(self, images: Tensor, labels: Tensor) -> None:
        torch.manual_seed(mixed_seed(self.seed, self.step, self.placement.rank))
        rate = self.recipe.rate(self.step, self.total, self.epoch_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images, labels = self.placement.here(images, labels)
        images, target = self.augmentation.mix(self.augmentation.train(images), labels)
        loss, right = self._gradients(images, target)
        if self.recipe.sam:
            self.optimiser.first_step(zero_grad=True)  # type: ignore[attr-defined]
            self._gradients(images, target)
            self.optimiser.second_step()  # type: ignore[attr-defined]
        else:
            self.placement.step(self.optimiser)
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._note(loss, right)

    def _gradients(self, images: Tensor, target: Mixed) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch; return its loss and the share that is right."""
        self.optimiser.zero_grad(set_to_none=True)
        with self.placement.autocast():
            logits = self._trained(images)
        logits = logits.float()
        loss = target.loss(logits, self.recipe.label_smoothing)
        if self.teacher is not None:
            loss = self._distilled(loss, logits, images)
        self.placement.backward(loss, self.optimiser)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        return loss.detach(), target.right(logits.detach())

    def _distilled(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """Blend a loss with the distance to the teacher's answers (Hinton et al. 2015, 2)."""
        assert self.teacher is not None
        heat, share = self.recipe.temperature, self.recipe.distill
        with torch.no_grad():
            told = self.teacher(images, self.augmentation.mean, self.augmentation.std).float()
        apart = F.kl_div(
            F.log_softmax(logits / heat, 1),
            F.log_softmax(told / heat, 1),
            log_target=True,
            reduction="batchmean",
        )
        return (1 - share) * loss + share * heat**2 * apart

    def _note(self, loss: Tensor, right: Tensor) -> None:
        """Count a step, its loss and the share that was right.

        Raises:
            TrainingError: when losses are no longer finite.
        """
        self.last_loss = loss
        self.sums = self.sums.to(loss.device) + torch.stack([loss, right])
        self.step += 1
        done = self.step % self.epoch_steps == 0 or self.step == self.total
        if loss.is_cpu or done or self.step % LOOK_EVERY == 0:
            self._check()
        if done:
            taken = (self.step - 1) % self.epoch_steps + 1
            means = self.placement.total(self.sums) / self.placement.world / taken
            self.losses.append(float(means[0]))
            self.accuracies.append(float(means[1]))
            self.sums = torch.zeros_like(self.sums)

    def _check(self) -> None:
        loss = float(self.sums[0])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the training loss is {loss} at step {self.step} of {self.total}; a lower "
                f"learning rate than {self.recipe.learning_rate:g}, or clipping, may help"
            )

    def evaluate(self, part: Part) -> Evaluation:
        """Judge the model that is kept on a part.

        Raises:
            TrainingError: when the loss is not finite.
        """
        self.placement.agree(self.best_model)
        with self._settled():
            return evaluate(self.best_model, self.source, part, self.augmentation, self.placement)

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Let optimisers that keep other weights for training than for use bring the latter."""
        settle, unsettle = (getattr(self.optimiser, name, None) for name in ("eval", "train"))
        if settle is None or unsettle is None:
            yield
            return
        settle()
        try:
            yield
        finally:
            unsettle()


def _average(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a model, buffers too.

    It starts quick, as TensorFlow's does: decay (1 + n) / (10 + n) until that is more.
    """

    def update(mean: Any, new: Any, count: Any) -> None:
        steps = float(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        for kept, value in zip(mean, new, strict=True):
            if kept.is_floating_point():
                kept.lerp_(value.to(kept.device), weight)
            else:
                kept.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    source: BatchSource,
    part: Part,
    augmentation: Augmentation,
    placement: Placement,
) -> Evaluation:
    """Judge a model on a part, all processes together.

    Raises:
        TrainingError: when the loss is not finite.
    """
    model.eval()
    sums = torch.zeros(4, dtype=torch.float64)
    for images, labels in source.evaluate(part):
        images, labels = placement.here(images, labels)
        with placement.autocast():
            logits = model(augmentation.normalise(images))
        logits = logits.float()
        best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        found = [best[:, 0].sum(), best.any(1).sum(), loss, torch.tensor(len(labels))]
        sums += torch.stack([number.double().cpu() for number in found])
    (here,) = placement.here(sums)
    right, among, loss_sum, count = placement.total(here).tolist()
    if not math.isfinite(loss_sum):
        raise TrainingError(f"the {part} loss is {loss_sum}")
    return Evaluation(right / count, among / count, loss_sum / count)
