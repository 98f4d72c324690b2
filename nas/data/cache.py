"""The pixels of image files, decoded once for each resolution and mapped into memory from then on.

They are in the user's cache, so that processes share them, and data sets larger than memory can be
used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from nas.data.arrays import absent_classes, numbered, repeated_images
from nas.data.decoding import DECODING, ImageFile, read_image
from nas.data.images import PARTS, ImageData, Part
from nas.errors import MixnasError
from nas.files import CACHE_VARIABLE, cache_folder, printable, write_atomic
from nas.progress import Step
from nas.units import GIBIBYTE

Entry = tuple[ImageFile, int]
"""An image file and its label."""
_CHUNK = 256  # images decoded between two reports of progress
_HEADER = 128  # bytes of an .npy file before its values, at least
_MIN_SPARE = 64 << 20  # bytes of the disk to leave free
_SPARE_SHARE = 0.05  # of what is written, to leave free as well


class PixelCache:
    """The file of decoded pixels of one data set at one resolution.

    Attributes:
        size: Bytes of the file.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        files: Mapping[Part, Sequence[Entry]],
        resolution: int,
    ) -> None:
        """Name the files; nothing is read or written yet.

        Args:
            name: Name of the data set, for messages.
            fingerprint: Fingerprint of the data set.
            files: Image files and labels, by split.
            resolution: Side R of the images, in pixels.

        Raises:
            MixnasError: If the folder of the cache cannot be created.
        """
        self._name, self._files, self._resolution = name, files, resolution
        self._folder = cache_folder("data")
        base = self._folder / f"{fingerprint}-{resolution}-{DECODING}"
        self._pixels, self._index = base.with_suffix(".npy"), base.with_suffix(".json")
        self._lock = base.with_suffix(".lock")
        self._total = sum(len(entries) for entries in files.values())
        self.size = pixel_bytes(self._total, resolution)

    def is_filled(self) -> bool:
        """Tell whether the images have been decoded already."""
        return self._contents() is not None

    def fits(self) -> bool:
        """Tell whether the pixels are there, or the disk has room for them and a margin."""
        return self.is_filled() or self._free() >= self.size + self._spare()

    def fill(self, step: Step | None = None) -> None:
        """Decode the central square of all images, unless this has been done.

        Args:
            step: Called with the number of decoded images and their total.

        Raises:
            MixnasError: If the disk has no room for them, or they cannot be written.
        """
        with FileLock(self._lock):
            if self.is_filled():
                return
            # Under the lock nobody writes: what is there was left by a process that was killed.
            for leftover in self._folder.glob(f".{self._pixels.name}.*"):
                leftover.unlink(missing_ok=True)
            if not self.fits():
                raise MixnasError(self._no_room())
            try:
                self._decode(step)
            except OSError as error:
                self.discard()  # pixels without an index would only take room
                raise MixnasError(
                    f"the decoded images of {self._name} cannot be written to the cache "
                    f"{self._folder} ({error}); they need {_in_bytes(self.size)}: make room, or "
                    f"set {CACHE_VARIABLE} to a folder on a larger disk"
                ) from None

    def discard(self) -> None:
        """Remove the pixels, as if they had never been decoded."""
        for path in (self._index, self._pixels):
            path.unlink(missing_ok=True)

    def open(self, classes: Sequence[str]) -> ImageData:
        """Return the data set with its pixels mapped into memory, without reading them.

        Args:
            classes: Names of the classes.

        Raises:
            MixnasError: If they are not there, or none of the images of a split can be read.
        """
        contents = self._contents()
        if contents is None:
            raise MixnasError(
                f"the decoded images of {self._name} have been removed from the cache "
                f"{self._folder}; repeat the command"
            )
        total, side = self._total, self._resolution
        shape = (total, 3, side, side)
        begin = self.size - total * 3 * side**2
        rows = torch.from_numpy(np.memmap(self._pixels, np.uint8, "c", offset=begin, shape=shape))
        images: dict[Part, Tensor] = {}
        labels: dict[Part, Tensor] = {}
        begin = 0
        for part in PARTS:
            labels[part] = torch.tensor(contents["labels"][part], dtype=torch.int64)
            images[part] = rows[begin : begin + len(labels[part])]
            begin += len(labels[part])
        broken = tuple(contents["broken"])
        for part in PARTS:
            if not len(labels[part]):
                raise MixnasError(
                    f"{self._name}: none of the {len(self._files[part])} {part} images can be "
                    f"read: {broken[0]}, ..."
                )
        arrays = {part: values.numpy() for part, values in labels.items()}
        absent = absent_classes(classes, arrays) if broken else []
        notes = (*contents["repeated"], *absent)
        return ImageData(self._name, tuple(classes), images, labels, broken, notes)

    def _contents(self) -> dict[str, Any] | None:
        """Return the labels of the decoded images, and remarks; None if they are incomplete."""
        try:
            contents: dict[str, Any] = json.loads(self._index.read_text(encoding="utf-8"))
            decoded = sum(len(contents["labels"][part]) for part in PARTS)
            is_whole = decoded + len(contents["broken"]) == self._total
            is_whole &= self._pixels.stat().st_size == self.size
            return contents if is_whole and isinstance(contents["repeated"], list) else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _spare(self) -> int:
        return max(_MIN_SPARE, int(_SPARE_SHARE * self.size))

    def _no_room(self) -> str:
        side = self._resolution
        return (
            f"the decoded images of {self._name} at {side}x{side} need {_in_bytes(self.size)}, but "
            f"the disk of the cache {self._folder} has {_in_bytes(self._free())} free (and "
            f"{_in_bytes(self._spare())} must stay free); make room, set {CACHE_VARIABLE} to a "
            "folder on a larger disk, use a lower resolution or fewer images per class, or stream "
            "the images"
        )

    def _decode(self, step: Step | None) -> None:
        """Write the pixels of all images that can be read, then the index that names them.

        The index is written last: where it exists, the pixels are complete.
        """
        total, side = self._total, self._resolution
        labels: dict[str, list[int]] = {part: [] for part in PARTS}
        digests: dict[Part, list[bytes]] = {part: [] for part in PARTS}
        broken: list[str] = []
        done = 0
        with _replacing(self._pixels) as file:
            _write_header(file, (total, 3, side, side))
            end = file.tell() + total * 3 * side**2
            for part in PARTS:
                for (source, label), digest, image in _decoded(self._files[part], side):
                    if isinstance(image, str):
                        broken.append(printable(f"{source}: {image}"))
                        digests[part].append(b"")  # nobody sees it, so it may be there twice
                    else:
                        digests[part].append(digest)
                        # Written, not stored through a mapping: there, a full disk kills a process.
                        file.write(image.data)
                        labels[part].append(label)
                    done += 1
                    if step is not None and (done % _CHUNK == 0 or done == total):
                        step(done, total)
            file.truncate(end)  # rows of images that cannot be read are empty, at the end
        repeated = repeated_images(
            {part: numbered(found) for part, found in digests.items()},
            lambda part, row: printable(str(self._files[part][row][0])),
        )
        contents = {"labels": labels, "broken": broken, "repeated": repeated}
        write_atomic(self._index, json.dumps(contents))


def pixel_bytes(images: int, resolution: int) -> int:
    """Return the bytes of a file of images, uint8, with three channels, of R x R pixels."""
    return _HEADER + 3 * images * resolution**2


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)


class _DigestedFile:
    """An image file of which a digest is known once it has been read; empty if it cannot be."""

    def __init__(self, file: ImageFile) -> None:
        self._file, self.digest = file, b""

    def read_bytes(self) -> bytes:
        raw = self._file.read_bytes()
        self.digest = hashlib.blake2b(raw, digest_size=16).digest()
        return raw


def _decoded(
    entries: Sequence[Entry], resolution: int
) -> Iterator[tuple[Entry, bytes, np.ndarray | str]]:
    """Yield each file with a digest and its pixels (3, R, R), or why it cannot be read."""

    def read(entry: Entry) -> tuple[Entry, bytes, np.ndarray | str]:
        file = _DigestedFile(entry[0])
        image = read_image(file, resolution)
        return entry, file.digest, image

    with ThreadPoolExecutor() as pool:  # decoding and resizing release the GIL
        for begin in range(0, len(entries), _CHUNK):
            yield from pool.map(read, entries[begin : begin + _CHUNK])


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file to write to, which replaces `path` at the end unless it fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # some disks tell only now that they are full
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _in_bytes(size: int) -> str:
    is_large = size >= GIBIBYTE / 10
    return f"{size / GIBIBYTE:.1f} GiB" if is_large else f"{size * 1024 / GIBIBYTE:.1f} MiB"
