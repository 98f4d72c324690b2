"""Images in memory, in three splits: train and validation for the search, test for the end."""

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
MAX_VALIDATION = 10_000  # images that are split off the training split
_CHUNK = 1_024  # images that are converted at once


@dataclass(frozen=True)
class ImageData:
    """A data set in three splits.

    Attributes:
        name: Name of the data set, as given on the command line.
        classes: Names of the classes, in the order of the labels.
        images: Images of each split, uint8, shape (N, 3, H, W).
        labels: Labels of each split, int64, shape (N,).
        broken: Files that could not be read, with the reasons; they are in none of the splits.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[Part, Tensor]
    labels: dict[Part, Tensor]
    broken: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def resolution(self) -> int:
        """Side of the images, in pixels."""
        return int(self.images["train"].shape[-1])

    def own_side(self) -> int:
        """Return the side of the images as they are given, in pixels."""
        return self.resolution

    def count(self, part: Part) -> int:
        """Return the number of images in a split."""
        return len(self.labels[part])

    def remark(self, names: int = 3) -> str:
        """Return a remark on the files that could not be read, of which it names a few."""
        total = len(self.broken) + sum(len(labels) for labels in self.labels.values())
        more = f"; and {len(self.broken) - names} more" if len(self.broken) > names else ""
        return (
            f"{len(self.broken)} of {total} images cannot be read and are left out: "
            f"{'; '.join(self.broken[:names])}{more}"
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any image, any label and the split."""
        digest = hashlib.sha256()
        for part in PARTS:
            digest.update(self.images[part].contiguous().numpy().data)
            digest.update(self.labels[part].numpy().tobytes())
        return digest.hexdigest()[:16]

    def at(self, resolution: int, step: Step | None = None) -> ImageData:
        """Return the data set at another resolution, resized with antialiased bilinear filtering.

        Args:
            resolution: Side of the images, in pixels.
            step: Ignored; there for the signature of `FolderData.at`.
        """
        if self.images["train"].shape[-2:] == (resolution, resolution):
            return self
        images = {part: _resized(tensor, resolution) for part, tensor in self.images.items()}
        return dataclasses.replace(self, images=images)

    def to(self, device: str) -> ImageData:
        """Return the data set with its tensors on a device; its statistics are those of here."""
        statistics = self.statistics()
        moved = dataclasses.replace(
            self,
            images={part: images.to(device) for part, images in self.images.items()},
            labels={part: labels.to(device) for part, labels in self.labels.items()},
        )
        vars(moved)["_statistics"] = statistics  # fills the cached property
        return moved

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training split by channel, (3,) in 0..1."""
        return self._statistics

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        # Cached because they are needed for every network that is trained.
        total, squares, count = torch.zeros(3).double(), torch.zeros(3).double(), 0
        # In chunks, because all images as floats might not fit into memory.
        for images in torch.split(self.images["train"], _CHUNK):
            pixels = images.double().div_(255)
            total += pixels.sum((0, 2, 3))
            squares += pixels.square().sum((0, 2, 3))
            count += pixels[:, 0].numel()
        mean = total / count
        deviation = (squares / count - mean**2).clamp_min_(0).sqrt()
        return mean.float(), deviation.float().clamp_min_(1e-3)


def _resized(images: Tensor, resolution: int) -> Tensor:
    chunks = [
        F.interpolate(chunk.float(), (resolution, resolution), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for chunk in torch.split(images, _CHUNK)
    ]
    return torch.cat(chunks)


def split_in_three(labels: np.ndarray, seed: int = 0) -> dict[Part, np.ndarray]:
    """Split into 60% train, 20% validation and 20% test, stratified by class.

    Args:
        labels: Shape (N,).
        seed: Random seed; the same labels and seed give the same split.

    Returns:
        Sorted indices of each split.

    Raises:
        ValueError: If a class has too few members to be in every split.
    """
    rest, test = _split(np.arange(len(labels)), labels, len(labels) / 5, seed)
    train, validation = _split(rest, labels, len(rest) / 4, seed)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def split_off_validation(labels: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split off a fifth of a training split, but at most `MAX_VALIDATION`, stratified by class.

    Returns:
        Sorted indices of the remaining training split and of the validation split.
    """
    size = min(len(labels) / 5, MAX_VALIDATION)
    rest, held_out = _split(np.arange(len(labels)), labels, size, seed)
    return np.sort(rest), np.sort(held_out)


def _split(
    indices: np.ndarray, labels: np.ndarray, size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off `size` of the indices, stratified by their labels."""
    from sklearn.model_selection import train_test_split

    rest, held_out = train_test_split(
        indices, test_size=size / len(indices), stratify=labels[indices], random_state=seed
    )
    return rest, held_out
