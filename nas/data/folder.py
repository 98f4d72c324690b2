"""Folders of class folders with image files, which are decoded once for each resolution.

::

    root/CLASS/*.jpg                 split 60/20/20
    root/{train,test}/CLASS/*.jpg    validation is split off train
    root/{train,val}/CLASS/*.jpg     as for ImageNet: val is the test, validation split off train
    root/{train,val,test}/CLASS/*    used as given
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageOps
from torch import Tensor

from nas.data.arrays import check_counts, split
from nas.data.images import PARTS, ImageData, Part
from nas.errors import MixnasError
from nas.files import cache_folder, write_atomic
from nas.progress import Step

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"]
)
_PART_FOLDERS: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_CHUNK = 256  # images decoded between two reports of progress
Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge of a crop, in pixels."""


@dataclass(frozen=True)
class FolderData:
    """Image files by part and class; nothing is decoded yet.

    Attributes:
        name: Path of the folder, as given on the command line.
        classes: Names of the class folders, sorted.
        files: Path and label of each file of a part.
    """

    name: str
    classes: tuple[str, ...]
    files: dict[Part, tuple[tuple[Path, int], ...]]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def count(self, part: Part) -> int:
        """Return the number of files of a part, including any that cannot be read."""
        return len(self.files[part])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the path and the size of any file."""
        digest = hashlib.sha256()
        root = Path(self.name).expanduser()
        for part in PARTS:
            for path, label in self.files[part]:
                name = path.relative_to(root).as_posix()
                digest.update(f"{part}/{label}/{name}/{path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def at(self, resolution: int, step: Step | None = None) -> ImageData:
        """Decode the central square of all images at a resolution.

        The pixels are kept in the user's cache and mapped into memory from there, so that processes
        share them and data sets larger than memory can be used.

        Args:
            resolution: Side of the images, in pixels.
            step: Called with the number of decoded images and their total.

        Raises:
            MixnasError: If a class has too few images that can be read.
        """
        base = cache_folder("data") / f"{self.fingerprint()}-{resolution}"
        pixels, index = base.with_suffix(".npy"), base.with_suffix(".json")
        with FileLock(base.with_suffix(".lock")):
            if not index.is_file():
                self._decode(pixels, index, resolution, step)
        contents = json.loads(index.read_text(encoding="utf-8"))
        data = _open_mapped(self.name, self.classes, pixels, contents)
        check_counts(self.name, data.labels["train"].numpy(), self.classes)
        return data

    def _decode(self, pixels: Path, index: Path, resolution: int, step: Step | None) -> None:
        """Write the pixels of all images that can be read, then the index that names them.

        The index is written last: where it exists, the pixels are complete.
        """
        total = sum(len(self.files[part]) for part in PARTS)
        labels: dict[str, list[int]] = {part: [] for part in PARTS}
        broken: list[str] = []
        shape = (total, 3, resolution, resolution)
        with _atomic_path(pixels) as path:
            rows = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            row = done = 0
            for part in PARTS:
                for (file, label), image in _decoded(self.files[part], resolution):
                    if isinstance(image, str):
                        broken.append(f"{file}: {image}")
                    else:
                        rows[row] = image
                        row += 1
                        labels[part].append(label)
                    done += 1
                    if step is not None and (done % _CHUNK == 0 or done == total):
                        step(done, total)
            rows.flush()
        write_atomic(index, json.dumps({"labels": labels, "broken": broken}))


def _open_mapped(
    name: str, classes: Sequence[str], pixels: Path, contents: dict[str, Any]
) -> ImageData:
    """Return the data set whose pixels are mapped from a file, without reading them."""
    rows = torch.from_numpy(np.load(pixels, mmap_mode="c", allow_pickle=False))
    parts: dict[Part, Tensor] = {}
    labels: dict[Part, Tensor] = {}
    begin = 0
    for part in PARTS:
        labels[part] = torch.tensor(contents["labels"][part], dtype=torch.int64)
        parts[part] = rows[begin : begin + len(labels[part])]
        begin += len(labels[part])
    return ImageData(
        name=name,
        classes=tuple(classes),
        images=parts,
        labels=labels,
        broken=tuple(contents["broken"]),
    )


def _decoded(
    files: Sequence[tuple[Path, int]], resolution: int
) -> Iterator[tuple[tuple[Path, int], np.ndarray | str]]:
    """Yield each file with its pixels (3, R, R), or with the reason why it cannot be read."""
    with ThreadPoolExecutor() as pool:  # decoding releases the GIL
        for begin in range(0, len(files), _CHUNK):
            chunk = files[begin : begin + _CHUNK]
            images = pool.map(lambda entry: read_image(entry[0], resolution), chunk)
            yield from zip(chunk, images, strict=True)


def read_image(
    path: Path, resolution: int, crop: Callable[[int, int], Box] | None = None
) -> np.ndarray | str:
    """Read an image file, turned upright and resized to a square.

    Args:
        path: Path of the file.
        resolution: Side R of the result, in pixels.
        crop: Returns the crop for a width and a height; None for the central square.

    Returns:
        Pixels, uint8, shape (3, R, R); or the reason why the file cannot be read.
    """
    size = (resolution, resolution)
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # about odd metadata; real failures are returned
            image.draft("RGB", (2 * resolution, 2 * resolution))  # decodes large photographs faster
            upright = ImageOps.exif_transpose(image).convert("RGB")
            if crop is None:
                square = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
            else:
                box = crop(*upright.size)
                square = upright.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
            return np.asarray(square).transpose(2, 0, 1)
    except Exception as error:  # decoders raise all kinds on damaged files
        return f"{type(error).__name__}: {error}".partition("\n")[0]


@contextmanager
def _atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` at the end unless it fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# -- finding the files ----------------------------------------------------------------------------


def load_folder(name: str) -> FolderData:
    """Find the image files in a folder of class folders.

    Args:
        name: Path of the folder, as given on the command line.

    Raises:
        MixnasError: If there are no class folders, only one, or a class has too few images.
    """
    root = Path(name).expanduser()
    parts = {
        part: folder
        for folder in _subfolders(root)
        if (part := _PART_FOLDERS.get(folder.name.lower())) is not None
    }
    if "train" not in parts:
        parts = {"train": root}
    classes = tuple(folder.name for folder in _subfolders(parts["train"]))
    if not classes:
        raise MixnasError(
            f"{parts['train']} has no class folders; expected {name}/CLASS/*.jpg, or "
            f"{name}/train/CLASS/*.jpg and {name}/test/CLASS/*.jpg"
        )
    if len(classes) < 2:
        raise MixnasError(f"{name} has only one class, '{classes[0]}'; give at least two")
    images = {part: _images(folder, classes) for part, folder in parts.items()}
    labels = {part: np.array([n for _, n in entries]) for part, entries in images.items()}
    check_counts(name, labels["train"], classes)
    files: dict[Part, tuple[tuple[Path, int], ...]] = {
        part: tuple(images[origin][i] for i in index)
        for part, (origin, index) in split(labels).items()
    }
    return FolderData(name, classes, files)


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_image(path: Path) -> bool:
    # A leading dot marks hidden files and the metadata of other systems, such as ._001.png.
    named_so = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return named_so and path.is_file()


def _images(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the image files of a part with their labels.

    Raises:
        MixnasError: If the part has a class that the training part lacks, or no images.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    unknown = [p.name for p in _subfolders(folder) if p.name not in numbers]
    if unknown:
        raise MixnasError(f"{folder} has a class '{unknown[0]}' that the training part lacks")
    images = []
    for name, number in numbers.items():
        paths = (folder / name).rglob("*") if (folder / name).is_dir() else ()
        images += [(path, number) for path in sorted(paths) if _is_image(path)]
    if not images:
        raise MixnasError(f"{folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images
