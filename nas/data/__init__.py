"""Image data sets with fixed splits: train and validation for the search, test for the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.data.arrays import absent_classes, load_npz
from nas.data.digits import load_digits
from nas.data.folder import FolderData, load_folder
from nas.data.images import PARTS, ImageData, Part
from nas.data.published import is_published, load_published
from nas.data.shards import ShardData, is_shards, load_shards
from nas.data.subset import reduced
from nas.errors import MixnasError, unknown
from nas.files import is_built_in
from nas.units import number_of

DATA: dict[str, Callable[[], ImageData]] = {"digits": load_digits}
"""Loaders of the built-in data sets, by name."""
DataSource = ImageData | FolderData
"""A data set with `name`, `classes`, `fingerprint()`, `own_side()` and `at(resolution)`."""
_SHOWN = 10  # classes whose names are shown
_KINDS = "a folder of class folders, an .npz file, or .tar shards"


def load_data(name: str, images_per_class: int | None = None) -> DataSource:
    """Return a data set by name or path.

    Args:
        name: ``digits``; or the path of a folder of class folders, of a folder with the published
            files of CIFAR-10, CIFAR-100 or MNIST, of an .npz file, or of shards of WebDataset, such
            as ``train-{000..146}.tar`` (see `nas.data.shards`).
        images_per_class: Number of training images and of validation images of each class, at
            most, for a smaller stand-in (see `nas.data.subset.reduced`); None for all.

    Raises:
        MixnasError: If there is no such data set, or it cannot be read.
    """
    data = _whole(name)
    return data if images_per_class is None else reduced(data, images_per_class)


def described(data: DataSource) -> list[str]:
    """Return what was found in a data set, in lines for the user.

    They tell the classes, the images of each split, and what was left out.
    """
    total = sum(data.count(part) for part in PARTS)
    shown = list(data.classes) if data.num_classes <= _SHOWN else [*data.classes[:_SHOWN], "..."]
    return [
        f"{data.name}: {number_of(data.num_classes, 'class', 'classes')} ({', '.join(shown)}), "
        f"{number_of(total, 'image')}: "
        f"{data.count('train'):,} for training, {data.count('validation'):,} for validation, "
        f"{data.count('test'):,} for the test",
        *(f"not used: {sentence}" for sentence in getattr(data, "left_out", ())),
        *(data.dark_remarks() if isinstance(data, FolderData) else ()),
        *absent_classes(data.classes, {part: data.labels_of(part) for part in PARTS}),
    ]


def _whole(name: str) -> DataSource:
    if is_built_in(name, DATA, "data set"):
        return DATA[name]()
    path = Path(name).expanduser()
    if path.is_dir():
        return load_published(path) if is_published(path) else load_folder(name)
    if is_shards(name):
        return load_shards(name)
    if path.is_file():
        if path.suffix == ".npz":
            return load_npz(path)
        raise MixnasError(f"{name} is not a data set; give {_KINDS}")
    if path.suffix or len(path.parts) > 1:
        raise MixnasError(f"there is no data set at {name}; give digits, {_KINDS}")
    raise MixnasError(f"{unknown('data set', name, DATA)}; or give {_KINDS}")


__all__ = [
    "DATA",
    "PARTS",
    "DataSource",
    "FolderData",
    "ImageData",
    "Part",
    "ShardData",
    "described",
    "load_data",
]
