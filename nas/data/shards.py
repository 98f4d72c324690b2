"""Image data sets in shards: tar files as WebDataset writes them, read in any order.

::

    pets.tar                                        split about 60/20/20
    shards-{000..146}.tar                           the same, of all shards together
    imagenet-train-{000..511}.tar::imagenet-val-{00..24}.tar    as for folders: val is the test,
                                                    and validation is split off train
    {train,val,test}-{000..010}.tar                 used as given

A shard's split is told by the words train, val and test in its name (or training, valid,
validation, testing), or else by the name of its folder. What is split follows from the names of
the images. Classes have numbers for names. See `nas.data.shard_index` for what a shard contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from nas.data.arrays import check_counts, split
from nas.data.braces import SEPARATOR, expanded
from nas.data.cache import Entry
from nas.data.decoding import ImageFile
from nas.data.folder import FolderData
from nas.data.images import Part, key_of
from nas.data.layout import PART_NAMES, parts_in
from nas.data.shard_index import ShardIndex, read_index
from nas.errors import MixnasError

SUFFIX = ".tar"


@dataclass(frozen=True, slots=True)
class ShardMember:
    """An image in a shard, which is read without the rest of the shard.

    Attributes:
        shard: Path of the tar file.
        name: Name of the member.
        offset: Its first byte in the shard.
        size: Its size in bytes.
    """

    shard: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"

    def read_bytes(self) -> bytes:
        """Return the content of the member.

        Raises:
            OSError: If the shard cannot be read, or has become shorter.
        """
        with self.shard.open("rb", buffering=0) as file:
            if file.seek(0, 2) < self.offset + self.size:
                raise OSError("the shard has become shorter since it was indexed")
            file.seek(self.offset)
            return file.read(self.size) or b""


class ShardFiles(Sequence[Entry]):
    """Images in shards and their labels; the objects are made when they are asked for.

    A set may have millions of images: as arrays, they are cheap to keep, and worker processes share
    them with the one that started them.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        indices: Sequence[ShardIndex],
        which: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        """Take the places of the images.

        Args:
            shards: Paths of the shards.
            indices: Their indices, in the same order.
            which: Number of each image's shard, shape (N,).
            rows: Number of each image in its shard's index, shape (N,).
        """
        self._shards, self._indices = shards, indices
        self._which, self._rows = which, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, index: int | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        number, row = int(self._which[index]), int(self._rows[index])
        found = self._indices[number]
        member = ShardMember(
            shard=self._shards[number],
            name=found.name(row),
            offset=int(found.offsets[row]),
            size=int(found.sizes[row]),
        )
        return member, int(found.labels[row])

    def labels(self) -> np.ndarray:
        """Return the labels, int64, shape (N,)."""
        labels = np.zeros(len(self), np.int64)
        for number in np.unique(self._which):
            here = self._which == number
            labels[here] = self._indices[number].labels[self._rows[here]]
        return labels

    def shards(self) -> list[Path]:
        """Return the shards that the images are in."""
        return [self._shards[number] for number in np.unique(self._which)]

    def keys(self) -> np.ndarray:
        """Return a key of each image, shape (N,); see `nas.data.images.key_of`."""
        places = zip(self._which.tolist(), self._rows.tolist(), strict=True)
        names = (f"{self._shards[i].name}/{self._indices[i].name(row)}" for i, row in places)
        return np.fromiter(map(key_of, names), np.float64, len(self))

    def take(self, index: np.ndarray) -> ShardFiles:
        """Return the images with some indices, shape (N,)."""
        return ShardFiles(self._shards, self._indices, self._which[index], self._rows[index])


@dataclass(frozen=True)
class ShardData(FolderData):
    """Images in shards by split and class; nothing is decoded yet.

    Attributes:
        name: Pattern of the shards' names, as given on the command line.
        classes: Numbers of the classes, as text.
        files: Each image and its label, by split.
    """

    def labels_of(self, part: Part) -> np.ndarray:
        """See `FolderData.labels_of`."""
        files = self.files[part]
        return files.labels() if isinstance(files, ShardFiles) else FolderData.labels_of(self, part)

    def name_of(self, file: ImageFile) -> str:
        """See `FolderData.name_of`; it is that of the shard and of the member."""
        assert isinstance(file, ShardMember)
        return f"{file.shard.name}/{file.name}"

    @property
    def root(self) -> Path:
        """See `FolderData.root`; it is the folder of the first shard."""
        return self.sources()[0].parent

    def sources(self) -> list[Path]:
        """See `FolderData.sources`; they are the shards."""
        found: dict[Path, None] = {}
        for files in self.files.values():
            if isinstance(files, ShardFiles):
                found |= dict.fromkeys(files.shards())
            else:
                found |= {self.source_of(file): None for file, _ in files}
        return list(found)

    def source_of(self, file: ImageFile) -> Path:
        """See `FolderData.source_of`."""
        assert isinstance(file, ShardMember)
        return file.shard


def is_shards(name: str) -> bool:
    """Tell whether a data set's name is that of a shard, or a pattern of shards' names."""
    return name.endswith(SUFFIX) or (SUFFIX in name and (SEPARATOR in name or "{" in name))


def load_shards(name: str) -> ShardData:
    """Find the images in shards.

    Their headers are read at the first time, which takes about two minutes for a million images;
    from then on, the places of the images are in the user's cache.

    Args:
        name: Path of a shard, or a pattern of paths (see `nas.data.braces.expanded`), as given on
            the command line.

    Raises:
        MixnasError: If a shard is missing or damaged, an image has no label, labels are not the
            numbers from 0 on, or a class has too few images.
    """
    shards = [Path(path).expanduser() for path in expanded(name)]
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        many = f"{len(missing)} of {len(shards)} shards are missing" if len(shards) > 1 else ""
        first = f"; the first is {missing[0]}" if many else f"there is no shard at {missing[0]}"
        raise MixnasError(f"{f'{name}: ' if many else ''}{many}{first}")
    if len(set(shards)) < len(shards):
        raise MixnasError(f"{name} names a shard twice: {_first_repeated(shards)}")
    parts = _parts(name, shards)
    indices = [read_index(shard) for shard in shards]
    given: dict[Part, ShardFiles] = {}
    for part in dict.fromkeys(parts):
        numbers = [number for number, of in enumerate(parts) if of == part]
        counts = [len(indices[number].labels) for number in numbers]
        rows = np.concatenate([np.arange(count) for count in counts])
        given[part] = ShardFiles(shards, indices, np.repeat(numbers, counts), rows)
    labels = {part: files.labels() for part, files in given.items()}
    classes = _classes(name, labels)
    check_counts(name, labels["train"], classes)
    members = split(labels, given["train"].keys).items()
    return ShardData(name, classes, {part: given[of].take(index) for part, (of, index) in members})


def _first_repeated(shards: Sequence[Path]) -> Path:
    return next(shard for i, shard in enumerate(shards) if shard in shards[:i])


def _parts(name: str, shards: Sequence[Path]) -> list[Part]:
    """Return the split of each shard; all are for training if their names make no difference.

    Raises:
        MixnasError: If only some names tell a split, or none tells that it is for training.
    """
    parts = [_part_of(shard) for shard in shards]
    told = [part for part in parts if part is not None]
    if len(set(parts)) == 1:
        return ["train"] * len(shards)
    if len(told) < len(parts):
        raise MixnasError(
            f"{name}: {shards[parts.index(None)].name} does not tell its split, but other shards "
            "do; their names must contain train, val or test"
        )
    if "train" not in told:
        raise MixnasError(f"{name} has no shards for training; their names must contain train")
    return told


def _part_of(shard: Path) -> Part | None:
    """Return the split that a shard's name tells, or else that of its folder.

    Raises:
        MixnasError: If it tells two.
    """
    folder = PART_NAMES.get(shard.parent.name.lower())
    found = parts_in(shard.name) or ({folder} if folder else set())
    if len(found) > 1:
        raise MixnasError(
            f"{shard} may be for {' or '.join(sorted(found))} by its name; let it tell one split"
        )
    return found.pop() if found else None


def _classes(name: str, labels: dict[Part, np.ndarray]) -> tuple[str, ...]:
    """Return the numbers of the classes as text.

    Raises:
        MixnasError: If there is one class only, or the training labels are not 0 to n - 1.
    """
    present = np.unique(labels["train"])
    absent = np.setdiff1d(np.arange(len(present)), present)
    if len(absent):
        raise MixnasError(
            f"{name}: labels must be 0, 1, 2 and so on, but there is a label {present[-1]} and "
            f"none {absent[0]} among the training images"
        )
    for part, found in labels.items():
        if int(found.max()) >= len(present):
            raise MixnasError(
                f"{name}: the {part} shards have a label {found.max()}, but the training shards "
                f"only 0 to {len(present) - 1}"
            )
    if len(present) < 2:
        raise MixnasError(f"{name} has only one class, '0'; give at least two")
    return tuple(str(number) for number in present)
