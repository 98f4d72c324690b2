"""Image data sets with a fixed split: train and validation to search with, test for the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.data.arrays import load_npz
from nas.data.digits import load_digits
from nas.data.folder import FolderData, load_folder
from nas.data.images import PARTS, ImageData, Part
from nas.data.published import is_published, load_published
from nas.errors import MixnasError, unknown

DATA: dict[str, Callable[[], ImageData]] = {"digits": load_digits}
DataSource = ImageData | FolderData
"""A data set with `name`, `classes`, `fingerprint()` and `at(resolution)`."""


def load_data(name: str) -> DataSource:
    """Return a data set by name or path.

    Args:
        name: ``digits``; or the path of a folder of class folders, of a folder with the published
            files of CIFAR-10, CIFAR-100 or MNIST, or of an .npz file.

    Raises:
        MixnasError: If there is no such data set, or it cannot be read.
    """
    if name in DATA:
        return DATA[name]()
    path = Path(name).expanduser()
    if path.is_dir():
        return load_published(path) if is_published(path) else load_folder(name)
    if path.is_file():
        if path.suffix == ".npz":
            return load_npz(path)
        raise MixnasError(
            f"{name} is not a data set; give a folder of class folders, or an .npz file"
        )
    if path.suffix or len(path.parts) > 1:
        raise MixnasError(f"there is no data set at {name}")
    hint = "; or give a folder of class folders, or an .npz file"
    raise MixnasError(unknown("data set", name, DATA) + hint)


__all__ = ["DATA", "PARTS", "DataSource", "FolderData", "ImageData", "Part", "load_data"]
