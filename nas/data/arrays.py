"""Data sets given as arrays: checked, divided into splits, and turned into `ImageData`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data.images import PARTS, ImageData, Part, split_in_three, split_off_validation
from nas.errors import MixnasError

MIN_IMAGES_PER_CLASS = 5  # so that each of the three splits gets at least one
Arrays = tuple[np.ndarray, np.ndarray]
_ARRAY_NAMES: tuple[Mapping[Part, tuple[str, str]], ...] = (
    {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
    {
        "train": ("x_train", "y_train"),
        "validation": ("x_val", "y_val"),
        "test": ("x_test", "y_test"),
    },
    {"train": ("images", "labels")},
)


def load_npz(path: Path) -> ImageData:
    """Read a data set from an .npz file.

    Its arrays are named `images` and `labels`; or `train_images`, `train_labels`, `val_images`,
    ..., `test_labels`; or `x_train`, `y_train`, `x_val`, ..., `y_test`. The validation and test
    splits may be missing. Images are uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with
    one or three channels; labels are integers from 0, of shape (N,) or (N, 1).

    Raises:
        MixnasError: If the file is damaged, or its arrays have other names, types or shapes.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            for names in _ARRAY_NAMES:
                if set(names["train"]) <= set(file.files):
                    given = {
                        part: (file[images], file[labels])
                        for part, (images, labels) in names.items()
                        if images in file.files and labels in file.files
                    }
                    return assemble(str(path), given)
            contents = ", ".join(file.files) or "nothing"
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MixnasError(f"{path} cannot be read: {error}") from None
    raise MixnasError(
        f"{path} contains {contents}; expected images and labels, or train_images, train_labels, "
        "test_images and test_labels"
    )


def assemble(
    name: str, given: Mapping[Part, Arrays], classes: Sequence[str] | None = None
) -> ImageData:
    """Make a data set of the given splits.

    See `split` for how missing ones are split off.

    Args:
        name: Name of the data set, as given on the command line.
        given: Images and labels of the splits; train must be among them.
        classes: Names of the classes; None for their numbers.

    Raises:
        MixnasError: If the arrays are not images with labels, or too few to be split.
    """
    arrays = {part: _checked(name, part, *pair) for part, pair in given.items()}
    count = 1 + max(int(labels.max()) for _, labels in arrays.values())
    if classes is None:
        classes = [str(i) for i in range(count)]
    if count > len(classes):
        raise MixnasError(
            f"{name}: there is a label {count - 1}, but only {len(classes)} classes; labels must "
            f"be 0 to {len(classes) - 1}"
        )
    if len(classes) < 2:
        raise MixnasError(f"{name} has only one class, '{classes[0]}'; give at least two")
    check_counts(name, arrays["train"][1], classes)
    labels = {part: labels for part, (_, labels) in arrays.items()}
    members = split(labels).items()
    return ImageData(
        name=name,
        classes=tuple(classes),
        images={part: torch.from_numpy(arrays[of][0][index]) for part, (of, index) in members},
        labels={part: torch.from_numpy(labels[of][index]) for part, (of, index) in members},
    )


def split(labels: Mapping[Part, np.ndarray]) -> dict[Part, tuple[Part, np.ndarray]]:
    """Assign the members of the given splits to the three splits.

    Missing ones are split off: validation from train, and both validation and test from train if
    only train is given. A validation split without a test split becomes the test split, as is usual
    for ImageNet.

    Args:
        labels: Labels of the given splits, shape (N,) each; train must be among them.

    Returns:
        For each of the three splits, the given one it is taken from and its members' indices.
    """
    train = labels["train"]
    if set(labels) == {"train"}:
        return {part: ("train", index) for part, index in split_in_three(train).items()}
    result: dict[Part, tuple[Part, np.ndarray]] = {
        part: (part, np.arange(len(labels[part]))) for part in PARTS if part in labels
    }
    if "test" not in labels:
        result["test"] = result.pop("validation")
    if "validation" not in result:
        rest, held_out = split_off_validation(train)
        result["train"], result["validation"] = ("train", rest), ("train", held_out)
    return {part: result[part] for part in PARTS}


def check_counts(name: str, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse a training split in which a class is missing or has too few images to be split.

    Args:
        name: Name of the data set, for the message.
        labels: Labels of the training split, shape (N,).
        classes: Names of the classes.

    Raises:
        MixnasError: If there are such classes; the text names the first five.
    """
    counts = np.bincount(labels, minlength=len(classes))
    too_few = [f"{classes[i]} has {n}" for i, n in enumerate(counts) if n < MIN_IMAGES_PER_CLASS]
    if too_few:
        more = f" and {len(too_few) - 5} more" if len(too_few) > 5 else ""
        raise MixnasError(
            f"{name}: every class needs at least {MIN_IMAGES_PER_CLASS} training images, but "
            f"{', '.join(too_few[:5])}{more}"
        )


def _checked(name: str, part: Part, images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Return images as uint8 (N, 3, H, W) and labels as int64 (N,)."""
    where = f"{name}: the {part} images"
    if images.dtype != np.uint8:
        raise MixnasError(f"{where} have type {images.dtype}; expected uint8, 0 to 255")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        found = f"type {labels.dtype} and shape {labels.shape}"
        raise MixnasError(
            f"{where} need {len(images)} integer labels, but their labels have {found}"
        )
    if len(labels) == 0:
        raise MixnasError(f"{where} are missing: the array is empty")
    if labels.min() < 0:
        raise MixnasError(f"{name}: there is a label {labels.min()}; labels must be 0 or more")
    return in_three_channels(where, images), labels.astype(np.int64)


def in_three_channels(where: str, images: np.ndarray) -> np.ndarray:
    """Return images as (N, 3, H, W); gray images are repeated in all three channels.

    Args:
        where: Which images these are, for the message.
        images: Shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3.

    Raises:
        MixnasError: If they have another shape.
    """
    shape: Any = images.shape
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise MixnasError(
            f"{where} have shape {shape}; expected (N, H, W), (N, H, W, 3) or (N, 3, H, W)"
        )
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, *images.shape[2:])))
