"""Reading .npz files, and packed files in general: never more than their content is worth.

Headers may claim any size, and a few packed bytes may stand for many. So nothing is allocated
because a header says so: what is read, and what is made of it, grows with what is there, up to a
multiple of the file's own size.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from nas.errors import MixnasError
from nas.files import parsing

_ALWAYS_READ = 64 << 20  # bytes that any file may unpack to
_MOST_EXPANSION = 200  # further bytes for each packed one; deflate reaches 1,032 on zeros
_BYTES_PER_IMAGE = 100  # of memory, that its label, digest and split take
_CHUNK = 1 << 20  # bytes read at once
_ENDING = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of numpy.savez and savez_compressed


def check_expansion(where: str, claimed: int, packed: int) -> None:
    """Refuse content that is too large to be real.

    Args:
        where: What claims to have this content, for the message.
        claimed: Bytes that it claims to have.
        packed: Bytes that it has in the file.

    Raises:
        MixnasError: If it claims more than the packed bytes can be expected to hold.
    """
    most = _most_of(packed)
    if claimed > most:
        raise MixnasError(
            f"{where} claims to have {claimed} bytes, more than the {most} that are read of "
            f"{packed} packed ones; it is damaged, or should be saved without compression"
        )


def check_images(name: str, images: Iterable[np.ndarray], packed: int) -> None:
    """Refuse more images than a file can be expected to hold: small ones cost more than they have.

    Args:
        name: What has these images, for the message.
        images: Arrays of images, shape (N, ...).
        packed: Bytes of the file, or of all the files.

    Raises:
        MixnasError: If their pixels and what is made of each image take more memory than may be
            made of the packed bytes.
    """
    arrays = list(images)
    count = sum(map(len, arrays))
    needed = sum(array.nbytes for array in arrays) + _BYTES_PER_IMAGE * count
    most = _most_of(packed)
    if needed > most:
        raise MixnasError(
            f"{name} has {count} images in {packed} bytes: they would take {needed} bytes of "
            f"memory, more than the {most} that are made of so few; it is damaged, or should be "
            "saved without compression"
        )


def _most_of(packed: int) -> int:
    return _ALWAYS_READ + _MOST_EXPANSION * packed


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_at_most(file: _Readable, size: int) -> bytearray:
    """Read up to `size` bytes; memory grows with what is there, not with what is asked for."""
    content = bytearray()
    while (left := size - len(content)) > 0 and (chunk := file.read(min(left, _CHUNK))):
        content += chunk
    return content


def npz_names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz file.

    Raises:
        MixnasError: If it cannot be read.
    """
    with parsing(path), zipfile.ZipFile(path) as file:
        return [name.removesuffix(_ENDING) for name in file.namelist() if name.endswith(_ENDING)]


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of an .npz file; they cannot be written to.

    Args:
        path: Path of the file.
        names: Names of the arrays.

    Raises:
        MixnasError: If the file is damaged, lacks one of the arrays, or one of them contains Python
            objects, which could run code.
    """
    with parsing(path), zipfile.ZipFile(path) as file:
        return {name: _array(f"{path}: {name}", file, f"{name}{_ENDING}") for name in names}


def _array(where: str, file: zipfile.ZipFile, member: str) -> np.ndarray:
    about = file.getinfo(member)
    if about.compress_type not in _METHODS:
        raise MixnasError(
            f"{where} is compressed in an unknown way; write the file with numpy.savez or "
            "numpy.savez_compressed"
        )
    check_expansion(where, about.file_size, about.compress_size)
    with file.open(about) as content:
        shape, is_fortran, dtype = _header(where, content)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be read; save arrays of numbers")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size > about.file_size:
            raise MixnasError(
                f"{where} claims to have the shape {shape} of type {dtype}, but has only "
                f"{about.file_size} bytes; the file is damaged"
            )
        raw = read_at_most(content, size)
        if len(raw) < size or content.read(1):  # at the end, the checksum is compared, too
            raise MixnasError(f"{where} does not have the {size} bytes that its shape needs")
    order: Any = "F" if is_fortran else "C"
    array: np.ndarray = np.ndarray(shape, dtype, buffer=raw, order=order)
    array.flags.writeable = False
    return array


def _header(where: str, content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(content)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(content)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(content)
    raise MixnasError(f"{where} has version {version} of the .npy format; 1.0 and 2.0 are read")
