"""Data sets that are arrays: as they come from files, to `ImageData`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data.images import PARTS, ImageData, Part, split_in_three, split_off_validation
from nas.errors import MixnasError

FEWEST = 5  # images of a class, for each of three parts to have one
Arrays = tuple[np.ndarray, np.ndarray]
_NAMES: tuple[Mapping[Part, tuple[str, str]], ...] = (
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

    Its arrays are `images` and `labels`; or `train_images`, `train_labels`, `test_images`,
    `test_labels`, with `val_` as well if there is such a part; or `x_train`, `y_train`, and so on.
    Images are uint8, (N, H, W), (N, H, W, C) or (N, C, H, W); labels are integers from 0 on.

    Raises:
        MixnasError: when the file is damaged or its arrays are others.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            for names in _NAMES:
                if set(names["train"]) <= set(file.files):
                    found = {
                        part: (file[images], file[labels])
                        for part, (images, labels) in names.items()
                        if images in file.files and labels in file.files
                    }
                    return assemble(str(path), found)
            held = ", ".join(file.files) or "nothing"
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MixnasError(f"{path} cannot be read: {error}") from None
    raise MixnasError(
        f"{path} holds {held}; wanted are images and labels, or train_images, train_labels, "
        "test_images, test_labels"
    )


def assemble(
    name: str, given: Mapping[Part, Arrays], classes: Sequence[str] | None = None
) -> ImageData:
    """Make a data set of what there is of its parts.

    Missing parts are split off: validation from train, both from train when there is no test.
    A validation part without a test part is taken for the test, as ImageNet's is.

    Args:
        name: as given on the command line.
        given: images and labels of the parts.
        classes: their names; numbers if None.

    Raises:
        MixnasError: when the arrays are no images with labels.
    """
    arrays = {part: _checked(name, part, *pair) for part, pair in given.items()}
    count = 1 + max(int(labels.max()) for _, labels in arrays.values())
    if classes is None:
        classes = [str(i) for i in range(count)]
    if count > len(classes):
        raise MixnasError(f"{name}: there is a label {count - 1}, but only {len(classes)} classes")
    if len(classes) < 2:
        raise MixnasError(f"{name} has one class, '{classes[0]}'; a classifier needs two")
    check_counts(name, arrays["train"][1], classes)
    labels = {part: labels for part, (_, labels) in arrays.items()}
    source = split(labels)
    images = {
        part: torch.from_numpy(arrays[origin][0][index]) for part, (origin, index) in source.items()
    }
    chosen = {
        part: torch.from_numpy(labels[origin][index]) for part, (origin, index) in source.items()
    }
    return ImageData(name, tuple(classes), images, chosen)


def split(labels: Mapping[Part, np.ndarray]) -> dict[Part, tuple[Part, np.ndarray]]:
    """Return of which given part, and of which of its members, each of the three parts is made."""
    train = labels["train"]
    if set(labels) == {"train"}:
        return {part: ("train", index) for part, index in split_in_three(train).items()}
    result: dict[Part, tuple[Part, np.ndarray]] = {
        part: (part, np.arange(len(labels[part]))) for part in PARTS if part in labels
    }
    if "test" not in labels:
        result["test"] = result.pop("validation")
    if "validation" not in result:
        rest, taken = split_off_validation(train)
        result["train"], result["validation"] = ("train", rest), ("train", taken)
    return {part: result[part] for part in PARTS}


def check_counts(name: str, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse a training part in which a class is missing or has too few images to be split.

    Raises:
        MixnasError: with the classes.
    """
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{classes[i]} has {n}" for i, n in enumerate(counts) if n < FEWEST]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        raise MixnasError(
            f"{name}: every class needs at least {FEWEST} images to train with, but "
            f"{', '.join(few[:5])}{more}"
        )


def _checked(name: str, part: Part, images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Return images as (N, 3, H, W) and labels as int64 (N,)."""
    where = f"{name}: the {part} images"
    if images.dtype != np.uint8:
        raise MixnasError(f"{where} are {images.dtype}; wanted are bytes, 0 to 255 (uint8)")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        shape = f"{labels.dtype} {labels.shape}"
        raise MixnasError(f"{where} are {len(images)}, but their labels are {shape}")
    if len(labels) == 0:
        raise MixnasError(f"{where} are none")
    if labels.min() < 0:
        raise MixnasError(f"{name}: there is a label {labels.min()}; labels begin at 0")
    return in_three_channels(where, images), labels.astype(np.int64)


def in_three_channels(where: str, images: np.ndarray) -> np.ndarray:
    """Return images as (N, 3, H, W); gray ones are repeated.

    Raises:
        MixnasError: when they have another shape.
    """
    shape: Any = images.shape
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise MixnasError(
            f"{where} have shape {shape}; wanted is (N, H, W), (N, H, W, 3) or (N, 3, H, W)"
        )
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, *images.shape[2:])))
