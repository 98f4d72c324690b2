"""Data sets given as arrays: checked, divided into splits, and turned into `ImageData`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data.images import (
    PARTS,
    ImageData,
    Part,
    split_by_key,
    split_in_three,
    split_off_validation,
)
from nas.data.layout import parts_in
from nas.data.npz import check_images, npz_names, read_npz
from nas.errors import MixnasError

MIN_IMAGES_PER_CLASS = 5  # so that each of the three splits gets at least one
MOST_CLASSES = 1_000_000
UNKNOWN = 0
"""Stands for the digest of content that is not known; see `numbered`."""
_PAIRS: tuple[tuple[Part, Part], ...] = (
    ("train", "test"),
    ("train", "validation"),
    ("validation", "test"),
)
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

_KINDS_OF_ARRAYS = {"image", "images", "label", "labels", "x", "X", "y", "Y", "data", "targets"}


def load_npz(path: Path) -> ImageData:
    """Read a data set from an .npz file.

    Its arrays are named `images` and `labels`; or `train_images`, `train_labels`, `val_images`,
    ..., `test_labels`; or `x_train`, `y_train`, `x_val`, ..., `y_test`. The validation and test
    splits may be missing. Images are uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with
    one or three channels; labels are integers from 0, of shape (N,) or (N, 1).

    Raises:
        MixnasError: If the file is damaged, or its arrays have other names, types or shapes.
    """
    found = npz_names(path)
    for names in _ARRAY_NAMES:
        if set(names["train"]) <= set(found):
            pairs = {part: pair for part, pair in names.items() if set(pair) <= set(found)}
            _refuse_unused(path, found, names, [name for pair in pairs.values() for name in pair])
            arrays = read_npz(path, [name for pair in pairs.values() for name in pair])
            given = {part: (arrays[pair[0]], arrays[pair[1]]) for part, pair in pairs.items()}
            many = (images for images, _ in given.values() if images.ndim)
            check_images(str(path), many, path.stat().st_size)
            return assemble(str(path), given)
    raise MixnasError(
        f"{path} contains {', '.join(found) or 'nothing'}; expected images and labels, or "
        "train_images, train_labels, test_images and test_labels"
    )


def _refuse_unused(
    path: Path, found: Sequence[str], names: Mapping[Part, tuple[str, str]], used: Sequence[str]
) -> None:
    """Refuse arrays of a split that would be passed over because they are named differently.

    Raises:
        MixnasError: If there are such arrays.
    """
    kinds = _KINDS_OF_ARRAYS
    unused = [n for n in found if n not in used and parts_in(n) and kinds & set(n.split("_"))]
    if unused:
        expected = ", ".join(name for pair in names.values() for name in pair)
        raise MixnasError(
            f"{path}: {', '.join(unused)} would not be used beside {used[0]}; the arrays of a "
            f"split are called {expected}: rename them, or leave them out"
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
    train = len(arrays["train"][1])
    if classes is None and count > train:  # before a name is made for each of a billion classes
        raise MixnasError(
            f"{name}: there is a label {count - 1}, but only {train} training images; labels must "
            "be 0, 1, 2 and so on, each with training images"
        )
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
    members = split(labels)
    digests = {part: numbered(map(_digest, images)) for part, (images, _) in given.items()}
    found = {part: digests[of][index] for part, (of, index) in members.items()}

    def called(part: Part, row: int) -> str:
        origin, index = members[part]
        return f"image {index[row]} of those given for {origin}"

    return ImageData(
        name=name,
        classes=tuple(classes),
        images={p: torch.from_numpy(arrays[of][0][index]) for p, (of, index) in members.items()},
        labels={p: torch.from_numpy(labels[of][index]) for p, (of, index) in members.items()},
        notes=tuple(repeated_images(found, called)),
    )


def split(
    labels: Mapping[Part, np.ndarray], keys: Callable[[], np.ndarray] | None = None
) -> dict[Part, tuple[Part, np.ndarray]]:
    """Assign the members of the given splits to the three splits.

    Missing ones are split off: validation from train, and both validation and test from train if
    only train is given. A validation split without a test split becomes the test split, as is usual
    for ImageNet.

    Args:
        labels: Labels of the given splits, shape (N,) each; train must be among them.
        keys: Returns keys of the training images, by which to split them (see
            `nas.data.images.split_by_key`); None to draw at random, with exact shares.

    Returns:
        For each of the three splits, the given one it is taken from and its members' indices.
    """
    train = labels["train"]
    if set(labels) == {"train"}:
        found = split_in_three(train) if keys is None else split_by_key(train, keys())
        return {part: ("train", index) for part, index in found.items()}
    result: dict[Part, tuple[Part, np.ndarray]] = {
        part: (part, np.arange(len(labels[part]))) for part in PARTS if part in labels
    }
    if "test" not in labels:
        result["test"] = result.pop("validation")
    if "validation" not in result:
        if keys is None:
            rest, held_out = split_off_validation(train)
        else:
            found = split_by_key(train, keys(), in_three=False)
            rest, held_out = found["train"], found["validation"]
        result["train"], result["validation"] = ("train", rest), ("train", held_out)
    return {part: result[part] for part in PARTS}


def repeated_images(
    digests: Mapping[Part, np.ndarray], name: Callable[[Part, int], str]
) -> list[str]:
    """Return a remark for each two splits that share images, byte by byte.

    Args:
        digests: A digest of each image's content, by split, as a number; see `numbered`.
        name: Returns what to call an image, for its split and its index.
    """
    remarks = []
    for one, other in _PAIRS:
        rows = np.flatnonzero(np.isin(digests[other], digests[one]) & (digests[other] != UNKNOWN))
        if len(rows):
            same = np.flatnonzero(digests[one] == digests[other][rows[0]])
            first, second = name(one, int(same[-1])), name(other, int(rows[0]))
            remarks.append(
                f"{len(rows):,} of {len(digests[other]):,} {other} images are {one} images as "
                f"well, byte by byte ({second} is {first}): the {other} accuracy is too high; "
                "remove one of each two"
            )
    return remarks


def absent_classes(classes: Sequence[str], labels: Mapping[Part, np.ndarray]) -> list[str]:
    """Return a remark for validation and test each if they lack images of some classes.

    Args:
        classes: Names of the classes.
        labels: Labels by split, shape (N,) each.
    """
    remarks = []
    for part in PARTS[1:]:
        counts = np.bincount(labels[part], minlength=len(classes))
        absent = [name for name, count in zip(classes, counts, strict=True) if count == 0]
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            remarks.append(
                f"{len(absent)} of {len(classes)} classes have no {part} images, so that the "
                f"{part} accuracy says nothing of them: {', '.join(absent[:5])}{more}"
            )
    return remarks


def check_counts(
    name: str, labels: np.ndarray, classes: Sequence[str], least: int = MIN_IMAGES_PER_CLASS
) -> None:
    """Refuse a training split in which a class is missing or has too few images to be split.

    Args:
        name: Name of the data set, for the message.
        labels: Labels of the training split, shape (N,).
        classes: Names of the classes.
        least: Number of images that every class needs; by default, as many as can be split.

    Raises:
        MixnasError: If there are such classes; the text names the first five.
    """
    counts = np.bincount(labels, minlength=len(classes))
    too_few = [f"{classes[i]} has {n}" for i, n in enumerate(counts) if n < least]
    if too_few:
        more = f" and {len(too_few) - 5} more" if len(too_few) > 5 else ""
        raise MixnasError(
            f"{name}: every class needs at least {least} training "
            f"{'images' if least > 1 else 'image that can be read'}, but "
            f"{', '.join(too_few[:5])}{more}"
        )


def numbered(digests: Iterable[bytes]) -> np.ndarray:
    """Return the first 64 bits of digests as numbers, uint64, shape (N,).

    As objects, they would take more memory than small images. No bytes, and zeros, which stand for
    content that is not known, become `UNKNOWN`.
    """
    return np.fromiter((int.from_bytes(digest[:8]) for digest in digests), np.uint64)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=8).digest()


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
    if labels.max() >= MOST_CLASSES:
        raise MixnasError(
            f"{name}: there is a label {labels.max()}; labels must be less than {MOST_CLASSES}"
        )
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
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise MixnasError(
            f"{where} have shape {shape}; expected (N, H, W), (N, H, W, 3) or (N, 3, H, W)"
        )
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, *images.shape[2:])))
