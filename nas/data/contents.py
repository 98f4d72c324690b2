"""Digests of files' contents, each computed once and remembered until its file changes.

A data set is known by what its files contain: names, sizes and times say nothing certain about
that. Every file is read once. Its digest is then kept in the user's cache under its name, inode,
size, and times of modification and of change, as git does it; the last of these cannot be set by
users, so that an edited file is always read again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from nas.files import cache_folder, write_atomic
from nas.progress import Step

BYTES = 16
"""Length of a digest."""
_CHUNK = 256  # files read between two reports of progress
_FRESH = 3_000_000_000
"""Nanoseconds for which a file counts as being edited: its times might not show the next edit, as
they are no finer than 2 s on some file systems."""
_UNREADABLE = bytes(BYTES)


class ContentDigests:
    """The digests of the files below one folder."""

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is read yet.

        Args:
            root: Folder, or anything else that tells data sets apart.

        Raises:
            MixnasError: If the folder of the cache cannot be created.
        """
        place = _new_hash(os.fsencode(root.resolve())).hexdigest()
        self._path = cache_folder("contents") / f"{place}.bin"

    def of(self, files: Sequence[Path], step: Step | None = None) -> list[bytes]:
        """Return the digest of each file's content, 16 bytes; zeros if it cannot be read.

        Args:
            files: Paths of the files.
            step: Called with the number of files read and their total number, if any must be read.
        """
        known = self._read()
        tokens = [_token(file) for file in files]
        if all(token in known for token in tokens):
            return [known[token] for token in tokens if token is not None]
        with FileLock(self._path.with_suffix(".lock")):  # others would read the same files
            known = self._read()
            unknown = [i for i, token in enumerate(tokens) if token not in known]
            found: dict[int, bytes] = {}
            with ThreadPoolExecutor() as pool:  # reading and hashing release the GIL
                for begin in range(0, len(unknown), _CHUNK):
                    chunk = unknown[begin : begin + _CHUNK]
                    read = pool.map(_digest, [files[i] for i in chunk])
                    for i, (token, digest) in zip(chunk, read, strict=True):
                        found[i] = digest
                        if token is not None:
                            known[token] = digest
                    if step is not None:
                        step(min(begin + _CHUNK, len(unknown)), len(unknown))
            self._write(known)
        return [found[i] if i in found else known[tokens[i] or b""] for i in range(len(files))]

    def are_known(self, files: Sequence[Path]) -> bool:
        """Tell whether no file must be read."""
        known = self._read()
        return all(_token(file) in known for file in files)

    def _read(self) -> dict[bytes | None, bytes]:
        """Return the digests that are kept, by token; none if the file is missing or damaged."""
        try:
            raw = self._path.read_bytes()
        except OSError:
            return {}
        whole, rows = raw[:BYTES], raw[BYTES:]
        if whole != _new_hash(rows).digest() or len(rows) % (2 * BYTES):
            return {}
        return {
            rows[i : i + BYTES]: rows[i + BYTES : i + 2 * BYTES]
            for i in range(0, len(rows), 2 * BYTES)
        }

    def _write(self, known: dict[bytes | None, bytes]) -> None:
        rows = b"".join(token + digest for token, digest in known.items() if token is not None)
        with suppress(OSError):  # it only saves time; a full disk is told where pixels are written
            write_atomic(self._path, _new_hash(rows).digest() + rows)


def _token(file: Path) -> bytes | None:
    """Return what tells a file from others and from what it was; None if it has no status."""
    try:
        return _token_of(file, file.stat())
    except OSError:
        return None


def _token_of(file: Path, about: os.stat_result) -> bytes:
    facts = f"{about.st_ino}/{about.st_size}/{about.st_mtime_ns}/{about.st_ctime_ns}/"
    return _new_hash(facts.encode() + os.fsencode(file)).digest()


def _digest(file: Path) -> tuple[bytes | None, bytes]:
    """Read a file; returns its token as well, unless it may be being edited."""
    try:
        with file.open("rb", buffering=0) as content:
            before = os.fstat(content.fileno())
            digest = hashlib.file_digest(content, _new_hash).digest()
            after = os.fstat(content.fileno())
    except OSError:
        return None, _UNREADABLE
    token = _token_of(file, after)
    settled = max(after.st_mtime_ns, after.st_ctime_ns) < time.time_ns() - _FRESH
    return (token if settled and token == _token_of(file, before) else None), digest


def _new_hash(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=BYTES)
