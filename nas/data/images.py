"""Images in memory, in three parts: train and validation for the search, test for the end."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.progress import Step

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_CHUNK = 1_024  # images worked on at once
MOST_VALIDATION = 10_000  # images that are kept from training


@dataclass(frozen=True)
class ImageData:
    """A data set in three parts.

    Attributes:
        name: as given on the command line.
        classes: names of the classes, in label order.
        images: by part, uint8, (N, 3, H, W).
        labels: by part, int64, (N,).
        broken: files that could not be read, and why; they are in no part.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[Part, Tensor]
    labels: dict[Part, Tensor]
    broken: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def resolution(self) -> int:
        """Side length of the images in pixels."""
        return int(self.images["train"].shape[-1])

    def count(self, part: Part) -> int:
        """Return how many images a part has."""
        return len(self.labels[part])

    def remark(self, names: int = 3) -> str:
        """Return how many images could not be read, and some of them."""
        total = len(self.broken) + sum(len(labels) for labels in self.labels.values())
        more = f"; and {len(self.broken) - names} more" if len(self.broken) > names else ""
        return (
            f"{len(self.broken)} of {total} images cannot be read and are left out: "
            f"{'; '.join(self.broken[:names])}{more}"
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when an image, a label or the split does."""
        digest = hashlib.sha256()
        for part in PARTS:
            digest.update(self.images[part].contiguous().numpy().data)
            digest.update(self.labels[part].numpy().tobytes())
        return digest.hexdigest()[:16]

    def at(self, resolution: int, step: Step | None = None) -> ImageData:
        """Return the data at another resolution (bilinear), at once: `step` is told nothing."""
        if self.images["train"].shape[-2:] == (resolution, resolution):
            return self
        images = {part: _resized(tensor, resolution) for part, tensor in self.images.items()}
        return dataclasses.replace(self, images=images)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training part by channel, (3,) in 0..1."""
        return self._statistics

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        # Kept: every network that is judged asks for them.
        total, squares, count = torch.zeros(3).double(), torch.zeros(3).double(), 0
        for images in torch.split(self.images["train"], _CHUNK):  # the whole need not fit as floats
            pixels = images.double().div_(255)
            total += pixels.sum((0, 2, 3))
            squares += pixels.square().sum((0, 2, 3))
            count += pixels[:, 0].numel()
        mean = total / count
        deviation = (squares / count - mean**2).clamp_min_(0).sqrt()
        return mean.float(), deviation.float().clamp_min_(1e-3)


def _resized(images: Tensor, resolution: int) -> Tensor:
    done = [
        F.interpolate(part.float(), (resolution, resolution), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for part in torch.split(images, _CHUNK)
    ]
    return torch.cat(done)


def split_in_three(labels: np.ndarray, seed: int = 0) -> dict[Part, np.ndarray]:
    """Split 60/20/20 with equal class shares; the same labels give the same split.

    Returns:
        Indices by part, sorted.

    Raises:
        ValueError: when a class has too few members to be in every part.
    """
    rest, test = _split(np.arange(len(labels)), labels, len(labels) / 5, seed)
    train, validation = _split(rest, labels, len(rest) / 4, seed)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def split_off_validation(labels: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split a fifth off, at most `MOST_VALIDATION`; see `split_in_three`.

    Returns:
        Indices of the training and of the validation part, sorted.
    """
    wanted = min(len(labels) / 5, MOST_VALIDATION)
    rest, taken = _split(np.arange(len(labels)), labels, wanted, seed)
    return np.sort(rest), np.sort(taken)


def _split(
    indices: np.ndarray, labels: np.ndarray, wanted: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    rest, taken = train_test_split(
        indices, test_size=wanted / len(indices), stratify=labels[indices], random_state=seed
    )
    return rest, taken
