"""Folders of class folders with image files.

::

    root/CLASS/*.jpg                 split about 60/20/20
    root/{train,test}/CLASS/*.jpg    validation is split off train
    root/{train,val}/CLASS/*.jpg     as for ImageNet: val is the test, validation split off train
    root/{train,val,test}/CLASS/*    used as given

What is split follows from the names of the files, so that images stay in their splits when others
are added. See `nas.data.layout` for how folders are told apart.
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

from nas.data.arrays import check_counts, numbered, repeated_images, split
from nas.data.cache import Entry, PixelCache, pixel_bytes
from nas.data.contents import ContentDigests
from nas.data.decoding import ImageFile, largest_deep_value, read_image, shorter_side
from nas.data.images import PARTS, ImageData, Part, key_of
from nas.data.layout import IMAGE_SUFFIXES, find_layout, images_below, on_unread, subfolders
from nas.errors import MixnasError
from nas.files import printable
from nas.progress import Step
from nas.units import number_of

_SAMPLE = 64  # images whose headers tell the side of all
_BITS_OF_CAMERAS = (10, 12, 14)
_PROBED_SIDE = 8  # pixels at which it is tried whether images can be read


@dataclass(frozen=True)
class FolderData:
    """Image files by split and class; nothing is decoded yet.

    Attributes:
        name: Path of the folder, as given on the command line.
        classes: Names of the class folders, sorted.
        files: Each file and its label, by split.
        left_out: What else the folder holds, and is not used: a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    files: Mapping[Part, Sequence[Entry]]
    left_out: tuple[str, ...] = ()

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
        return self.source_of(file).relative_to(self.root).as_posix()

    @property
    def root(self) -> Path:
        """The folder that the files are in."""
        return Path(self.name).expanduser()

    def sources(self) -> list[Path]:
        """Return the files that images are read from, each once."""
        return [self.source_of(file) for part in PARTS for file, _ in self.files[part]]

    def source_of(self, file: ImageFile) -> Path:
        """Return the file that an image is read from."""
        assert isinstance(file, Path)
        return file

    def is_known(self) -> bool:
        """Tell whether `fingerprint` has to read no file."""
        return ContentDigests(self.root).are_known(self.sources())

    def fingerprint(self, step: Step | None = None) -> str:
        """Return 16 hexadecimal digits that change with the content, name or split of any file.

        All files are read, once: from then on, those that have not changed since are known.

        Args:
            step: Called with the number of files read and their total number.
        """
        sources = self.sources()
        digests = dict(zip(sources, ContentDigests(self.root).of(sources, step), strict=True))
        digest = hashlib.sha256()
        for part in PARTS:
            for file, label in self.files[part]:
                content = digests[self.source_of(file)].hex()
                entry = f"{part}/{label}/{self.name_of(file)}/{content}\n"
                digest.update(entry.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def test_fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the images of the test split only."""
        files = [file for file, _ in self.files["test"]]
        digests = ContentDigests(self.root).of([self.source_of(file) for file in files])
        # Of a shard, the name tells which of its images it is; a file is known by its content.
        names = [b"" if isinstance(file, Path) else self.name_of(file).encode() for file in files]
        rows = sorted(digest + name for digest, name in zip(digests, names, strict=True))
        return hashlib.sha256(b"\n".join(rows)).hexdigest()[:16]

    def remarks(self) -> list[str]:
        """Return what the user should know about images that are streamed, a line each."""
        sources = {part: [self.source_of(file) for file, _ in self.files[part]] for part in PARTS}
        if len(self.sources()) < sum(map(len, sources.values())):
            # Of the images in shards, digests are not kept.
            return [f"{self.name}: equal images in two splits were not looked for in shards"]
        known = ContentDigests(self.root)
        digests = {part: numbered(known.of(paths)) for part, paths in sources.items()}
        return repeated_images(digests, lambda part, row: printable(str(sources[part][row])))

    def dark_remarks(self) -> list[str]:
        """Return a remark if images of 16 bits seem to hold fewer, as those of cameras do.

        A sample of the training images is looked at. Nothing in a file says whether 4095 is white,
        so that nothing but a remark is possible.
        """
        files = self.files["train"]
        index = np.linspace(0, len(files) - 1, min(len(files), _SAMPLE)).astype(int)
        found = [largest_deep_value(files[i][0]) for i in index]
        largest = [value for value in found if value is not None]
        bits = next((bits for bits in _BITS_OF_CAMERAS if max(largest, default=0) < 1 << bits), 16)
        if not any(largest) or bits == 16:
            return []
        return [
            f"{self.name}: no value of {number_of(len(largest), 'image')} of 16 bits exceeds "
            f"{max(largest)}, as if only {bits} bits were used; 65535 is read as white, so that "
            f"they are dark: if they should not be, multiply their values by {1 << 16 - bits}, or "
            "convert them to 8 bits"
        ]

    def check_readable(self) -> None:
        """Refuse files of which a split has none that can be read.

        Raises:
            MixnasError: If there is such a split.
        """
        for part in PARTS:
            files = self.files[part]
            reasons = (read_image(file, _PROBED_SIDE) for file, _ in files)
            if all(isinstance(reason, str) for reason in reasons):  # stops at the first image
                first = printable(f"{files[0][0]}: {read_image(files[0][0], _PROBED_SIDE)}")
                raise MixnasError(
                    f"{self.name}: none of the {len(files)} {part} images can be read: {first}, ..."
                )

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
                has no room for the pixels (see `cache_fits`), or files change meanwhile.
        """
        known_as = self.fingerprint()
        cache = PixelCache(self.name, known_as, self.files, resolution)
        if not cache.is_filled():
            cache.fill(step)
            if self.fingerprint() != known_as:
                cache.discard()
                raise MixnasError(
                    f"images of {self.name} changed while they were read; repeat the command when "
                    "nothing writes to them"
                )
        data = cache.open(self.classes)
        # A class that is large enough to be split may have few images in its training split.
        check_counts(self.name, data.labels["train"].numpy(), self.classes, least=1)
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
    layout = find_layout(name)
    parts = layout.parts
    classes = tuple(folder.name for folder in subfolders(parts["train"]))
    if not classes:
        raise MixnasError(
            f"{parts['train']} has no class folders; expected {name}/CLASS/*.jpg, or "
            f"{name}/train/CLASS/*.jpg and {name}/test/CLASS/*.jpg"
        )
    if len(classes) < 2:
        raise MixnasError(f"{name} has only one class, '{classes[0]}'; give at least two")
    unread: list[Path] = []
    images = {part: _images(folder, classes, unread) for part, folder in parts.items()}
    labels = {part: np.array([n for _, n in entries]) for part, entries in images.items()}
    check_counts(name, labels["train"], classes)

    def keys() -> np.ndarray:
        names = (path.relative_to(parts["train"]).as_posix() for path, _ in images["train"])
        return np.array([key_of(name) for name in names])

    files: dict[Part, tuple[Entry, ...]] = {
        part: tuple(images[origin][i] for i in index)
        for part, (origin, index) in split(labels, keys).items()
    }
    left_out = (*layout.left_out, *on_unread(unread))
    return FolderData(name, tuple(map(printable, classes)), files, left_out)


def _images(folder: Path, classes: Sequence[str], unread: list[Path]) -> list[tuple[Path, int]]:
    """Return the image files of a split with their labels; adds those that are not read to a list.

    Raises:
        MixnasError: If the split has a class that the training split lacks, or no images.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    unknown = [p.name for p in subfolders(folder) if p.name not in numbers]
    if unknown:
        raise MixnasError(
            f"{folder} has a class '{unknown[0]}' that the training split lacks; every class needs "
            "training images"
        )
    images = []
    for name, number in numbers.items():
        if (folder / name).is_dir():
            found, others = images_below(folder / name)
            images += [(path, number) for path in found]
            unread += others
    if not images:
        raise MixnasError(
            f"{folder} has no images; supported types: {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return images
