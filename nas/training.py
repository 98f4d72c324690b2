"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.data import ImageData, Part
from nas.torch_model import zero_residuals


class TrainingError(Exception):
    """A training that cannot go on; its text is the reason that a trial records."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the training part.
        batch_size: images a step. Small ones give the steps that ranking networks needs.
        learning_rate: highest, of SGD with Nesterov momentum 0.9.
        weight_decay: on weights of convolutions and linear layers only.
        label_smoothing: share of the target given to all classes.
        warmup: share of the steps in which the rate rises; then it falls as a cosine.
        shift: random translation in training, as a share of the side.
        zero_residuals: let residual branches start at zero.
    """

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 0.06
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    warmup: float = 0.2
    shift: float = 0.1
    zero_residuals: bool = True


@dataclass(frozen=True)
class Training:
    """What a training run did.

    Attributes:
        losses: mean training loss of every epoch.
        accuracy: share of the validation part that is right, after the last epoch.
        loss: cross entropy on the validation part, after the last epoch.
        steps: optimiser steps taken.
        seconds: wall-clock time.
    """

    losses: tuple[float, ...]
    accuracy: float
    loss: float
    steps: int
    seconds: float


class Batches:
    """Normalised batches of a data set: (B, 3, H, W) float images and (B,) labels."""

    def __init__(self, data: ImageData, recipe: Recipe, seed: int) -> None:
        """Take the data; order and augmentation follow from the seed."""
        self.data = data
        self.recipe = recipe
        mean, std = data.statistics()
        self._mean, self._std = mean.view(1, 3, 1, 1) * 255, std.view(1, 3, 1, 1) * 255
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """Steps of one epoch; the last, smaller batch is left out, since BN needs company."""
        count = len(self.data.labels["train"])
        return max(1, count // min(self.recipe.batch_size, count))

    def _normalise(self, images: Tensor) -> Tensor:
        floats = (images.float() - self._mean) / self._std
        return floats.contiguous(memory_format=torch.channels_last)

    def _shift(self, images: Tensor) -> Tensor:
        """Move every image by a few pixels, the edge repeated."""
        reach = round(self.recipe.shift * images.shape[-1])
        if reach == 0:
            return images
        count, _, height, width = images.shape
        padded = F.pad(images.float(), [reach] * 4, mode="replicate")
        dy, dx = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=self._generator)
        rows = (dy + torch.arange(height))[:, None, :, None]
        columns = (dx + torch.arange(width))[:, None, None, :]
        index = torch.arange(count)[:, None, None, None]
        channels = torch.arange(images.shape[1])[None, :, None, None]
        return padded[index, channels, rows, columns]

    def train(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one epoch of the training part, shuffled and augmented."""
        images, labels = self.data.images["train"], self.data.labels["train"]
        order = torch.randperm(len(labels), generator=self._generator)
        size = min(self.recipe.batch_size, len(labels))
        for step in range(len(self)):
            index = order[step * size : (step + 1) * size]
            yield self._normalise(self._shift(images[index])), labels[index]

    def evaluate(self, part: Part, size: int = 128) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a part in order."""
        images, labels = self.data.images[part], self.data.labels[part]
        for start in range(0, len(labels), size):
            chunk = slice(start, start + size)
            yield self._normalise(images[chunk]), labels[chunk]


def learning_rate(step: int, total: int, recipe: Recipe) -> float:
    """Return the rate of a step: a linear rise, then half a cosine to zero."""
    rise = max(1, round(recipe.warmup * total))
    if step < rise:
        return recipe.learning_rate * (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def train(model: nn.Module, data: ImageData, recipe: Recipe, seed: int) -> Training:
    """Train a freshly built model in place.

    Args:
        model: images -> logits.
        data: at the resolution to train at; its test part is not looked at.
        recipe: how.
        seed: of order and augmentation, and of dropout.

    Raises:
        TrainingError: when the loss is no longer finite.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.zero_residuals:
        zero_residuals(model)
    batches = Batches(data, recipe, seed)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others},
    ]
    optimiser = torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
        fused=True,
    )
    total = recipe.epochs * len(batches)
    step = 0
    losses = []
    for epoch in range(recipe.epochs):
        model.train()
        running = 0.0
        for images, labels in batches.train():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, total, recipe)
            logits = model(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            running += loss.item()
            step += 1
        losses.append(running / len(batches))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the training loss is {losses[-1]} in epoch {epoch + 1}")
    accuracy, validation_loss = evaluate(model, batches, "validation")
    return Training(tuple(losses), accuracy, validation_loss, step, time.perf_counter() - started)


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, part: Part) -> tuple[float, float]:
    """Return accuracy (0..1) and cross entropy on a part.

    Raises:
        TrainingError: when the loss is not finite.
    """
    model.eval()
    right = 0
    loss = 0.0
    total = 0
    for images, labels in batches.evaluate(part):
        logits = model(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(1) == labels).sum())
        total += len(labels)
    if not math.isfinite(loss):
        raise TrainingError(f"the {part} loss is {loss}")
    return right / total, loss / total
