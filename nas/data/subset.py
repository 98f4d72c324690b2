"""A smaller stand-in for a large data set: some images of each class, which stay when it grows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import overload

import numpy as np
import torch
from torch import Tensor

from nas.data.arrays import MIN_IMAGES_PER_CLASS
from nas.data.decoding import read_image
from nas.data.folder import FolderData
from nas.data.images import ImageData, Part
from nas.errors import MixnasError

_REDUCED: tuple[Part, ...] = ("train", "validation")
# The test split stays whole: accuracies on it remain comparable with those of the whole set, and it
# is read once.


@overload
def reduced(data: ImageData, images_per_class: int) -> ImageData: ...
@overload
def reduced(data: FolderData, images_per_class: int) -> FolderData: ...
def reduced(data: ImageData | FolderData, images_per_class: int) -> ImageData | FolderData:
    """Return a data set with at most some images of each class in training and validation.

    The images are drawn after the splits were made, so that each stays in its split: what the
    stand-in trains on is never among the images that the whole set is tested on. An image is drawn
    by a hash of its file's name within the set, or of its pixels if there are no files. So images
    that are added elsewhere leave the choice as it is, as long as they leave the splits as they are
    (splits that come with the data set always stay).

    Args:
        data: The whole data set.
        images_per_class: Number of images of each class, at most, in the training split and in the
            validation split each; the test split is left whole.

    Raises:
        MixnasError: If the number is too small for a class to be learned.
    """
    if images_per_class < MIN_IMAGES_PER_CLASS:
        raise MixnasError(
            f"images per class is {images_per_class}; at least {MIN_IMAGES_PER_CLASS} are needed"
        )
    if isinstance(data, FolderData):
        return data.only({part: _of_files(data, part, images_per_class) for part in _REDUCED})
    chosen = {part: _of_arrays(data, part, images_per_class) for part in _REDUCED}
    index = {part: torch.from_numpy(rows) for part, rows in chosen.items()}
    return dataclasses.replace(
        data,
        images={**data.images, **{part: data.images[part][rows] for part, rows in index.items()}},
        labels={**data.labels, **{part: data.labels[part][rows] for part, rows in index.items()}},
    )


def _of_files(data: FolderData, part: Part, most: int) -> np.ndarray:
    def name(row: int) -> bytes:
        return data.name_of(data.files[part][row][0]).encode("utf-8", "surrogateescape")

    return drawn(data.labels_of(part), name, most)


def _of_arrays(data: ImageData, part: Part, most: int) -> np.ndarray:
    images = data.images[part].contiguous().numpy()
    return drawn(data.labels[part].numpy(), lambda row: images[row].tobytes(), most)


def some_images(data: ImageData | FolderData, count: int, resolution: int) -> Tensor:
    """Return some images of the validation split, spread evenly over it.

    Of image files, no others are decoded, and nothing is kept.

    Args:
        data: The data set.
        count: Number of images, at most.
        resolution: Height and width of the result, in pixels.

    Returns:
        Pixels, uint8, shape (N, 3, R, R).

    Raises:
        MixnasError: If none of them can be read.
    """
    total = data.count("validation")
    rows = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    pixels, _ = images_of(data, "validation", rows, resolution)
    if not len(pixels):
        raise MixnasError(f"{data.name}: none of {len(rows)} validation images can be read")
    return pixels


def drawn_images(
    data: ImageData | FolderData, part: Part, count: int, resolution: int, seed: int
) -> Tensor:
    """Return images of a split that are drawn at random, in the order of the split.

    Args:
        data: The data set.
        part: The split.
        count: Number of images, at most.
        resolution: Height and width of the result, in pixels.
        seed: Random seed.

    Returns:
        Pixels, uint8, shape (N, 3, R, R).

    Raises:
        MixnasError: If none of them can be read.
    """
    order = np.random.default_rng(seed).permutation(data.count(part))
    rows = np.sort(order[:count])
    pixels, _ = images_of(data, part, rows, resolution)
    if not len(pixels):
        raise MixnasError(f"{data.name}: none of {len(rows)} {part} images can be read")
    return pixels


def images_of(
    data: ImageData | FolderData, part: Part, rows: np.ndarray, resolution: int
) -> tuple[Tensor, Tensor]:
    """Return chosen images of a split; of image files, no others are decoded.

    Args:
        data: The data set.
        part: The split.
        rows: Indices of the images within the split.
        resolution: Height and width of the result, in pixels.

    Returns:
        Pixels, uint8, shape (N, 3, R, R), and labels, shape (N,), without images that cannot be
        read.
    """
    if isinstance(data, ImageData):
        index = torch.from_numpy(rows)
        few: dict[Part, Tensor] = {"train": data.images[part][index]}
        pixels = dataclasses.replace(data, images=few).at(resolution).images["train"]
        return pixels, data.labels[part][index]
    files = [data.files[part][int(row)] for row in rows]
    read = [(read_image(file, resolution), label) for file, label in files]
    whole = [(torch.from_numpy(image), n) for image, n in read if not isinstance(image, str)]
    if not whole:
        return torch.empty(0, 3, resolution, resolution, dtype=torch.uint8), torch.empty(0).long()
    return torch.stack([image for image, _ in whole]), torch.tensor([n for _, n in whole])


def drawn(labels: np.ndarray, key: Callable[[int], bytes], most: int) -> np.ndarray:
    """Draw members of each class by a hash of what identifies them.

    Args:
        labels: Labels, shape (N,).
        key: Returns what identifies a member, for its index.
        most: Number of members of each class, at most.

    Returns:
        Sorted indices, int64.
    """
    order = np.argsort(labels, kind="stable")
    chosen = []
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(rows) > most:
            # Members that hash alike are equal, so that it does not matter which of them is drawn.
            hashes = np.fromiter((_hash(key(int(row))) for row in rows), np.uint64, len(rows))
            rows = rows[np.argsort(hashes, kind="stable")[:most]]
        chosen.append(rows)
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
