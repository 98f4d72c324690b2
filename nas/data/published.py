"""CIFAR-10, CIFAR-100 and MNIST, read from the files in which they are published."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.data.arrays import Arrays, assemble
from nas.data.images import ImageData, Part
from nas.data.npz import check_expansion, check_images, read_at_most
from nas.data.pickles import plain_content
from nas.files import parsing

_SIDE, _PIXELS = 32, 3 * 32 * 32  # of a CIFAR image
_TRAINING_BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
_UBYTE = 0x08  # code of unsigned bytes in IDX files


def is_published(folder: Path) -> bool:
    """Tell whether a folder contains the published files of CIFAR or MNIST."""
    return _reader(folder) is not None


def load_published(folder: Path) -> ImageData:
    """Read CIFAR-10 or CIFAR-100 (binary or pickled), or MNIST (IDX files), from a folder.

    Raises:
        MixnasError: If a file is missing or damaged.
    """
    reader = _reader(folder)
    assert reader is not None  # callers ask `is_published` first
    with parsing(folder):
        return reader(folder)


def _reader(folder: Path) -> Callable[[Path], ImageData] | None:
    """Return the function that reads the files in a folder; None if they are not known."""
    if (folder / "data_batch_1.bin").is_file():
        return _cifar10
    if (folder / "train.bin").is_file() and (folder / "test.bin").is_file():
        return _cifar100
    if (folder / "data_batch_1").is_file():
        return _cifar10_pickled
    if (folder / "meta").is_file() and (folder / "train").is_file():
        return _cifar100_pickled
    if _idx_file(folder, "train-images") is not None:
        return _idx
    return None


# -- CIFAR: https://www.cs.toronto.edu/~kriz/cifar.html ---------------------------------------


def _cifar10(folder: Path) -> ImageData:
    def batch(name: str) -> Arrays:
        return _records(folder / f"{name}.bin", 1)

    train = [batch(name) for name in _TRAINING_BATCHES]
    classes = _lines(folder / "batches.meta.txt")
    return assemble(str(folder), {"train": _joined(train), "test": batch("test_batch")}, classes)


def _cifar100(folder: Path) -> ImageData:
    train, test = (_records(folder / f"{name}.bin", 2) for name in ("train", "test"))
    classes = _lines(folder / "fine_label_names.txt")
    return assemble(str(folder), {"train": train, "test": test}, classes)


def _records(path: Path, labels: int) -> Arrays:
    """Read records of one or more labels, the last of which is used, and an image."""
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if len(raw) == 0 or len(raw) % (labels + _PIXELS):
        raise ValueError(
            f"{path.name} has {len(raw)} bytes, which is not a multiple of {labels + _PIXELS}"
        )
    rows = raw.reshape(-1, labels + _PIXELS)
    return rows[:, labels:].reshape(-1, 3, _SIDE, _SIDE), rows[:, labels - 1]


def _cifar10_pickled(folder: Path) -> ImageData:
    train = [_batch(folder / name, b"labels") for name in _TRAINING_BATCHES]
    test = _batch(folder / "test_batch", b"labels")
    classes = _names(folder / "batches.meta", b"label_names")
    return assemble(str(folder), {"train": _joined(train), "test": test}, classes)


def _cifar100_pickled(folder: Path) -> ImageData:
    train, test = (_batch(folder / name, b"fine_labels") for name in ("train", "test"))
    classes = _names(folder / "meta", b"fine_label_names")
    return assemble(str(folder), {"train": train, "test": test}, classes)


def _batch(path: Path, key: bytes) -> Arrays:
    with parsing(path):
        batch = plain_content(path.read_bytes())
        images, labels = batch[b"data"], batch[key]
    if not isinstance(images, np.ndarray):
        raise ValueError(f"{path.name} has images that are no array")
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != _PIXELS:
        raise ValueError(f"{path.name} has images of type {images.dtype} and shape {images.shape}")
    # Lists in lists may stand for far more values than they take bytes in the file.
    if not isinstance(labels, np.ndarray):
        if type(labels) is not list or not all(type(label) is int for label in labels):
            raise ValueError(f"{path.name} has labels that are no list of whole numbers")
        labels = np.array(labels, np.int64)
    return images.reshape(-1, 3, _SIDE, _SIDE), labels


def _names(path: Path, key: bytes) -> list[str]:
    with parsing(path):
        return [name.decode() for name in plain_content(path.read_bytes())[key]]


def _joined(parts: list[Arrays]) -> Arrays:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _lines(path: Path) -> list[str] | None:
    """Return the lines of a file that are not empty; None if there is no such file."""
    if not path.is_file():
        return None
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]


# -- MNIST and data sets in its format: http://yann.lecun.com/exdb/mnist -----------------------


def _idx_file(folder: Path, name: str) -> Path | None:
    kind = "idx1" if name.endswith("labels") else "idx3"
    for separator in ("-", "."):  # both are in use: train-images-idx3, train-images.idx3
        for ending in ("", ".gz"):
            path = folder / f"{name}{separator}{kind}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _idx(folder: Path) -> ImageData:
    parts: dict[Part, Arrays] = {}
    packed = 0
    names: dict[Part, str] = {"train": "train", "test": "t10k"}
    for part, name in names.items():
        paths = [_idx_file(folder, f"{name}-{what}") for what in ("images", "labels")]
        if None in paths:
            raise ValueError(f"{name}-images-idx3-ubyte or {name}-labels-idx1-ubyte is missing")
        images, labels = (_idx_array(path) for path in paths if path is not None)
        parts[part] = (images, labels)
        packed += sum(path.stat().st_size for path in paths if path is not None)
    check_images(str(folder), (images for images, _ in parts.values()), packed)
    return assemble(str(folder), parts)


def _idx_array(path: Path) -> np.ndarray:
    packed = path.stat().st_size
    is_packed = path.suffix == ".gz"
    with gzip.open(path) if is_packed else path.open("rb") as file:
        zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zero or kind != _UBYTE or not 1 <= dimensions <= 4:
            raise ValueError(f"{path.name} is not an IDX file of bytes")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        size = math.prod(shape)
        if is_packed:
            check_expansion(str(path), size, packed)
        raw = b"" if not is_packed and size > packed else read_at_most(file, size + 1)
    if len(raw) != size:
        raise ValueError(f"{path.name} is truncated or too long: its header says {size} bytes")
    return np.frombuffer(bytes(raw), np.uint8).reshape(shape)
