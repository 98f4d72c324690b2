"""Files and folders: written whole or not at all, claimed by one process, kept in the cache."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import MixnasError

if TYPE_CHECKING:
    from filelock import FileLock

CACHE_VARIABLE = "MIXNAS_CACHE"
RUNS = Path("runs")
"""Parent of the folders that commands create unless --out names one."""


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary file next to it, which is then renamed."""
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache, and create it if necessary.

    The environment variable ``MIXNAS_CACHE`` names a different cache.

    Raises:
        MixnasError: If the folder cannot be created.
    """
    from platformdirs import user_cache_path  # imported late: counting networks needs no cache

    base = os.environ.get(CACHE_VARIABLE)
    folder = (Path(base) if base else user_cache_path("mixnas")).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MixnasError(
            f"the cache {folder} cannot be created ({error}); set {CACHE_VARIABLE} to a folder "
            "that you can write to"
        ) from None
    return folder


def new_run_path(name: str) -> Path:
    """Return a path below ``runs/`` made of a name and the local time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{name}-{now}"


def is_occupied(path: Path) -> bool:
    """Tell whether a path is a file, or a folder with something in it."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def refuse_occupied(path: Path, remedy: str) -> None:
    """Refuse a path that is already in use.

    Args:
        path: Folder to be created.
        remedy: What the user can do instead, for the message.

    Raises:
        MixnasError: If the path is a file, or a folder with something in it.
    """
    if is_occupied(path):
        raise MixnasError(f"{path} already exists; {remedy}")


def claim_folder(path: Path) -> FileLock:
    """Keep other processes out of a folder until this one ends, however it ends.

    Returns:
        The lock. It is released when it is garbage-collected, so keep a reference to it.

    Raises:
        MixnasError: If another process is working in the folder.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MixnasError(
            f"another process is working in {path}; wait until it has finished"
        ) from None
    return lock
