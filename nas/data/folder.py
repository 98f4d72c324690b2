"""Folders of class folders with image files.

::

    root/CLASS/*.jpg                 split 60/20/20
    root/{train,test}/CLASS/*.jpg    validation is split off train
    root/{train,val}/CLASS/*.jpg     as for ImageNet: val is the test, validation split off train
    root/{train,val,test}/CLASS/*    used as given
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nas.data.arrays import check_counts, split
from nas.data.cache import Entry, PixelCache, pixel_bytes
from nas.data.decoding import ImageFile, shorter_side
from nas.data.images import PARTS, ImageData, Part
from nas.errors import MixnasError
from nas.progress import Step

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"]
)
PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Splits by the names that users give them."""
_SAMPLE = 64  # images whose headers tell the side of all


@dataclass(frozen=True)
class FolderData:
    """Image files by split and class; nothing is decoded yet.

    Attributes:
        name: Path of the folder, as given on the command line.
        classes: Names of the class folders, sorted.
        files: Each file and its label, by split.
    """

    name: str
    classes: tuple[str, ...]
    files: Mapping[Part, Sequence[Entry]]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def count(self, part: Part) -> int:
        """Return the number of files in a split, including any that cannot be read."""
        return len(self.files[part])

    def labels_of(self, part: Part) -> np.ndarray:
        """Return the labels of the files in a split, int64, shape (N,)."""
        return np.array([label for _, label in self.files[part]], np.int64)

    def name_of(self, file: ImageFile) -> str:
        """Return the name of a file within the data set; it stays when the set is moved."""
        assert isinstance(file, Path)
        return file.relative_to(Path(self.name).expanduser()).as_posix()

    def size_of(self, file: ImageFile) -> int:
        """Return the size of a file in bytes."""
        assert isinstance(file, Path)
        return file.stat().st_size

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the name and the size of any file."""
        digest = hashlib.sha256()
        for part in PARTS:
            for file, label in self.files[part]:
                entry = f"{part}/{label}/{self.name_of(file)}/{self.size_of(file)}\n"
                digest.update(entry.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def only(self, chosen: Mapping[Part, np.ndarray]) -> FolderData:
        """Return the data set with some of its files.

        Args:
            chosen: Indices of the files to keep, by split; splits that are not named stay whole.
        """
        kept: dict[Part, Sequence[Entry]] = {
            part: tuple(self.files[part][i] for i in index) for part, index in chosen.items()
        }
        return dataclasses.replace(self, files={**self.files, **kept})

    def own_side(self) -> int:
        """Return the side that the images have in their files, in pixels.

        It is the median of the shorter sides of at most 64 training images, whose headers are read
        at the first call.

        Raises:
            MixnasError: If none of these images can be read.
        """
        return self._own_side

    @cached_property
    def _own_side(self) -> int:
        files = self.files["train"]
        index = np.linspace(0, len(files) - 1, min(len(files), _SAMPLE)).astype(int)
        found = [shorter_side(files[i][0]) for i in index]
        sides = [side for side in found if side is not None]
        if not sides:
            raise MixnasError(
                f"{self.name}: none of {len(found)} training images can be read, the first being "
                f"{files[0][0]}; are these image files?"
            )
        return statistics.median_low(sides)

    def cached_bytes(self, resolution: int) -> int:
        """Return the bytes that the decoded images take in the cache (see `at`)."""
        return pixel_bytes(sum(len(entries) for entries in self.files.values()), resolution)

    def cache_fits(self, resolution: int) -> bool:
        """Tell whether the decoded images are in the cache, or its disk has room for them.

        Raises:
            MixnasError: If the folder of the cache cannot be created.
        """
        return self._cache(resolution).fits()

    def cache_is_filled(self, resolution: int) -> bool:
        """Tell whether the decoded images are in the cache."""
        return self._cache(resolution).is_filled()

    def at(self, resolution: int, step: Step | None = None) -> ImageData:
        """Decode the central square of all images at a resolution.

        The pixels are kept in the user's cache and mapped into memory from there, so that processes
        share them and data sets larger than memory can be used.

        Args:
            resolution: Side of the images, in pixels.
            step: Called with the number of decoded images and their total.

        Raises:
            MixnasError: If a class has too few images that can be read, or the disk of the cache
                has no room for the pixels (see `cache_fits`).
        """
        cache = self._cache(resolution)
        cache.fill(step)
        data = cache.open(self.classes)
        check_counts(self.name, data.labels["train"].numpy(), self.classes)
        return data

    def _cache(self, resolution: int) -> PixelCache:
        return PixelCache(self.name, self.fingerprint(), self.files, resolution)


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
        if (part := PART_NAMES.get(folder.name.lower())) is not None
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
    files: dict[Part, tuple[Entry, ...]] = {
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
    """Return the image files of a split with their labels.

    Raises:
        MixnasError: If the split has a class that the training split lacks, or no images.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    unknown = [p.name for p in _subfolders(folder) if p.name not in numbers]
    if unknown:
        raise MixnasError(
            f"{folder} has a class '{unknown[0]}' that the training split lacks; every class needs "
            "training images"
        )
    images = []
    for name, number in numbers.items():
        paths = (folder / name).rglob("*") if (folder / name).is_dir() else ()
        images += [(path, number) for path in sorted(paths) if _is_image(path)]
    if not images:
        raise MixnasError(
            f"{folder} has no images; supported types: {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return images
