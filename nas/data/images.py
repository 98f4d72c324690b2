"""Images in memory, in three splits: train and validation for the search, test for the end."""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.progress import Step

Part = Literal["train", "validation", "test"]
"""A split of a data set."""
PARTS: tuple[Part, ...] = ("train", "validation", "test")
"""All splits."""
MAX_VALIDATION = 10_000  # images that are split off the training split
_CHUNK = 1_024  # images that are converted at once
_HELD_OUT = 0.2  # share of the images that each part gets that is split off
_BEGINS: Mapping[Part, float] = {"test": 0.0, "validation": 0.2}
"""Keys from which images are in a part that is split off; see `split_by_key`."""


@dataclass(frozen=True)
class ImageData:
    """A data set in three splits.

    Attributes:
        name: Name of the data set, as given on the command line.
        classes: Names of the classes, in the order of the labels.
        images: Images of each split, uint8, shape (N, 3, H, W).
        labels: Labels of each split, int64, shape (N,).
        broken: Files that could not be read, with the reasons; they are in none of the splits.
        notes: What else the user should know about the images, a line each.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[Part, Tensor]
    labels: dict[Part, Tensor]
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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

    def labels_of(self, part: Part) -> np.ndarray:
        """Return the labels of a split, int64, shape (N,)."""
        return self.labels[part].numpy()

    def remarks(self) -> list[str]:
        """Return what the user should know about the images before they are used, a line each."""
        return [*([self._on_broken()] if self.broken else []), *self.notes]

    def _on_broken(self, names: int = 3) -> str:
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

    def test_fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the images of the test split only."""
        images = self.images["test"].contiguous().numpy()
        digests = sorted(
            hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images
        )
        return hashlib.sha256(b"".join(digests)).hexdigest()[:16]

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


def key_of(name: str) -> float:
    """Return a number from 0 to 1 that follows from an image's name alone.

    The keys of different names are spread evenly. A name is the same on every system, whichever of
    the forms of Unicode the system gives it.
    """
    raw = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest()) / 2**64


def split_by_key(
    labels: np.ndarray, keys: np.ndarray, in_three: bool = True
) -> dict[Part, np.ndarray]:
    """Split so that each image stays in its part when others are added or removed.

    About 20% are for validation, and 20% for the test if it is to be split off. The part of an
    image follows from its key alone, with two exceptions: if a class would have no image in a part,
    one is moved there; and of more than 50,000 images without a test to split off, about
    `MAX_VALIDATION` are for validation.

    Args:
        labels: Shape (N,).
        keys: Numbers from 0 to 1 (see `key_of`), shape (N,).
        in_three: Whether to split off a test as well as validation.

    Returns:
        Sorted indices of each part.
    """
    share = _HELD_OUT if in_three else min(_HELD_OUT, MAX_VALIDATION / len(labels))
    shares: dict[Part, float] = {"validation": share, **({"test": _HELD_OUT} if in_three else {})}
    parts: tuple[Part, ...] = ("train", *shares)
    part_of = np.zeros(len(labels), np.int64)
    for number, part in enumerate(parts[1:], start=1):
        begin = _BEGINS[part]
        part_of[(begin <= keys) & (keys < begin + shares[part])] = number
    counts = np.bincount(labels * len(parts) + part_of).astype(np.int64)
    counts = np.pad(counts, (0, -len(counts) % len(parts))).reshape(-1, len(parts))
    for label in np.unique(labels)[(counts[np.unique(labels)] == 0).any(1)]:
        _fill_parts(np.flatnonzero(labels == label), part_of, keys, len(parts))
    return {part: np.flatnonzero(part_of == number) for number, part in enumerate(parts)}


def _fill_parts(members: np.ndarray, part_of: np.ndarray, keys: np.ndarray, parts: int) -> None:
    """Move one image of a class to each part that has none, from the part that has most."""
    for number in range(parts):
        counts = np.bincount(part_of[members], minlength=parts)
        if counts[number] == 0 and counts.max() > 1:
            donors = members[part_of[members] == counts.argmax()]
            part_of[donors[keys[donors].argmin()]] = number
