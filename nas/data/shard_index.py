"""The images of one shard: a tar file of samples, as WebDataset writes them.

Files whose names agree up to the first dot are one sample: an image (``0001.jpg``), and its label
as a number in ``0001.cls``, or as ``label`` or ``cls`` in ``0001.json``. Only headers and labels
are read, once; then the places of the images are known, and each can be read on its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from nas.data.arrays import MOST_CLASSES
from nas.data.layout import IMAGE_SUFFIXES, is_hidden
from nas.data.npz import read_npz
from nas.errors import MixnasError
from nas.files import cache_folder, parsing, write_atomic

_VERSION = 2  # of the cached indices
_BLOCK = 512  # bytes of a tar file's header
_MOST_IMAGE_BYTES = 1 << 30
_MOST_LABEL_BYTES = {"cls": 64, "json": 1 << 20}
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
_UTF8 = ("utf-8", "surrogateescape")  # names may have any bytes


@dataclass(frozen=True)
class ShardIndex:
    """Where the images of a shard are; all arrays are int64 of shape (N,) except `names`.

    Attributes:
        names: Names of the members, one after the other, uint8.
        ends: Where each name ends in `names`.
        offsets: First bytes of the images in the shard.
        sizes: Bytes of the images.
        labels: Labels of the images.
    """

    names: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray

    def is_within(self, size: int) -> bool:
        """Tell whether it is the index of a shard of some size in bytes, as far as can be seen."""
        numbers = (self.ends, self.offsets, self.sizes, self.labels)
        if any(array.shape != (len(self.ends),) or array.dtype != np.int64 for array in numbers):
            return False
        is_ordered = self.names.ndim == 1 and (np.diff(self.ends, prepend=0) >= 0).all()
        is_there = (self.offsets >= 0).all() and (self.sizes >= 0).all()
        is_there &= (self.offsets <= size).all() and (self.sizes <= size - self.offsets).all()
        are_labels = (self.labels >= 0).all() and (self.labels < MOST_CLASSES).all()
        return bool(len(self.ends) and is_ordered and is_there and are_labels)

    def name(self, row: int) -> str:
        """Return the name of a member."""
        begin = self.ends[row - 1] if row else 0
        return self.names[begin : self.ends[row]].tobytes().decode(*_UTF8)


def read_index(shard: Path) -> ShardIndex:
    """Return the index of a shard, from the user's cache if the shard has not changed since.

    Args:
        shard: Path of a tar file, which is not compressed.

    Raises:
        MixnasError: If it is damaged, or one of its images has no label.
    """
    about = shard.stat()
    # Times of modification can be set; those of the last change, which `stat` calls ctime, cannot.
    times = f"{about.st_mtime_ns}/{about.st_ctime_ns}"
    facts = f"{_VERSION}/{shard.resolve()}/{about.st_ino}/{about.st_size}/{times}"
    digest = hashlib.sha256(facts.encode(*_UTF8)).hexdigest()[:32]
    path = cache_folder("shards") / f"{digest}.npz"
    with suppress(MixnasError):  # not there yet, or damaged: read the shard again
        kept = ShardIndex(**read_npz(path, [name.name for name in fields(ShardIndex)]))
        if kept.is_within(about.st_size):
            return kept
    with parsing(shard):
        index = _indexed(shard)
    content = io.BytesIO()
    np.savez(content, **vars(index))
    with suppress(OSError):  # it only saves time; a full disk is told where pixels are written
        write_atomic(path, content.getvalue())
    return index


@dataclass
class _Sample:
    """What is known of a sample: its image's name, offset and size, and its labels by kind."""

    image: tuple[str, int, int] | None = None
    labels: dict[str, int] = field(default_factory=dict)


def _indexed(shard: Path) -> ShardIndex:
    samples: dict[str, _Sample] = {}
    with shard.open("rb") as file:
        for member in _members(shard, file):
            _take(shard, file, member, samples)
    images = []
    for key, sample in samples.items():
        if sample.image is None:
            if "cls" in sample.labels:
                raise MixnasError(f"{shard}: {key}.cls is a label without an image")
            continue
        if not sample.labels:
            raise MixnasError(
                f"{shard}: {sample.image[0]} has no label; expected a number in {key}.cls, or "
                f"'label' or 'cls' in {key}.json"
            )
        images.append((*sample.image, sample.labels.get("cls", sample.labels.get("json", 0))))
    if not images:
        raise MixnasError(f"{shard} has no images; expected samples such as 0001.jpg with 0001.cls")
    names = [name.encode(*_UTF8) for name, _, _, _ in images]
    numbers = np.array([entry[1:] for entry in images], np.int64)
    return ShardIndex(
        names=np.frombuffer(b"".join(names), np.uint8),
        ends=np.cumsum([len(name) for name in names], dtype=np.int64),
        offsets=numbers[:, 0],
        sizes=numbers[:, 1],
        labels=numbers[:, 2],
    )


class _Bounded:
    """A file from which no more is asked for than it has, whatever its headers claim."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, max(0, self._size - self._file.tell())))


def _members(shard: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the files in a shard.

    Raises:
        MixnasError: If the shard is damaged, truncated or compressed.
    """
    size = shard.stat().st_size
    start = file.read(8)
    file.seek(0)
    if start.startswith(_COMPRESSED):
        raise MixnasError(f"{shard} is compressed; unpack it, so that its images can be found")
    try:
        with tarfile.open(fileobj=_Bounded(file, size), mode="r:") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                tar.members.clear()  # it would keep all of them
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError(f"{member.name} goes beyond the end of the file")
                if member.isreg() and not member.issparse():
                    yield member
            file.seek(tar.offset)  # tarfile ends without a word at a header that it cannot read
            if file.read(_BLOCK).strip(b"\0"):
                raise tarfile.ReadError(f"there is no valid header at byte {tar.offset}")
    except MixnasError:
        raise
    except Exception as error:  # tarfile raises all kinds on damaged files
        raise MixnasError(f"{shard} is damaged or no tar file: {error}") from None


def _take(
    shard: Path, file: BinaryIO, member: tarfile.TarInfo, samples: dict[str, _Sample]
) -> None:
    """Add what a member tells about its sample.

    Raises:
        MixnasError: If its sample has another such member, or it is no valid label.
    """
    folder, slash, base = member.name.rpartition("/")
    stem, _, kind = base.partition(".")
    kind = kind.lower()
    is_image = f".{kind}" in IMAGE_SUFFIXES
    if not (is_image or kind in _MOST_LABEL_BYTES) or is_hidden(PurePosixPath(member.name).parts):
        return
    sample = samples.setdefault(f"{folder}{slash}{stem}", _Sample())
    if (sample.image is not None) if is_image else (kind in sample.labels):
        what = "image" if is_image else "label"
        raise MixnasError(f"{shard}: {member.name} is a second {what} of the same sample")
    if is_image and member.size > _MOST_IMAGE_BYTES:
        raise MixnasError(f"{shard}: {member.name} has {member.size} bytes, too many for an image")
    if is_image:
        sample.image = (member.name, member.offset_data, member.size)
        return
    if member.size > _MOST_LABEL_BYTES[kind]:
        raise MixnasError(
            f"{shard}: {member.name} has {member.size} bytes; a label has at most "
            f"{_MOST_LABEL_BYTES[kind]}"
        )
    file.seek(member.offset_data)
    label = _label(f"{shard}: {member.name}", kind, file.read(member.size))
    if label is not None:
        sample.labels[kind] = label


def _label(where: str, kind: str, raw: bytes) -> int | None:
    """Return the label in a .cls or .json member; None if JSON has none.

    Raises:
        MixnasError: If it is not a number from 0 to `MOST_CLASSES`.
    """
    try:
        value: Any = int(raw) if kind == "cls" else json.loads(raw)
    except (ValueError, RecursionError):
        expected = "a number, 0 or more" if kind == "cls" else "JSON"
        raise MixnasError(f"{where} contains {raw[:40]!r}; expected {expected}") from None
    if kind == "json":
        value = value.get("label", value.get("cls")) if isinstance(value, dict) else None
        if value is None:
            return None
    if type(value) is not int or not 0 <= value < MOST_CLASSES:
        raise MixnasError(
            f"{where} has the label {str(value)[:40]}; expected a number, 0 to {MOST_CLASSES - 1}"
        )
    return value
