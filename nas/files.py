"""Files and folders: written whole or not at all, claimed by one process, kept in the cache."""

from __future__ import annotations

import datetime
import errno
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import MixnasError, reason_of

if TYPE_CHECKING:
    from filelock import FileLock

_logger = logging.getLogger(__name__)
CACHE_VARIABLE = "MIXNAS_CACHE"
RUNS = Path("runs")
"""Parent of the folders that commands create unless --out names one."""
LOCK = ".lock"
"""Name of the file by which a process claims a folder."""
_PATIENCE = 2.0  # seconds of waiting for another process before a message is printed
# As the systems call them. What is not in the list is taken for a disk of this machine.
_NETWORK_FILE_SYSTEMS = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "9p", "afs", "ceph", "lustre"),
    *("gpfs", "beegfs", "glusterfs", "orangefs", "pvfs2", "gfs2", "ocfs2", "panfs", "wekafs"),
}


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary file next to it, which is then renamed."""
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    with naming(path, path.parent):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path, Path(temporary)):
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_changed(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, unless it has that content already."""
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content)


def write_new(contents: Mapping[Path, str]) -> None:
    """Write files that do not exist yet, and the folders that they are in.

    Args:
        contents: The content of every file, by its path.

    Raises:
        MixnasError: If one of the files exists; none is written then.
    """
    for path in contents:
        if path.exists():
            raise MixnasError(f"{path} already exists; choose another --out")
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)


@contextmanager
def written_together(*paths: Path) -> Iterator[Path]:
    """Write several files of one folder that make sense together only: all of them or none.

    The block writes them, by their names, to a temporary folder beside them. Once it has ended and
    they are on the disk, they are renamed. At no moment does a reader that begins with the last of
    `paths` find it beside files of another writing: the old one is moved away before the others
    are replaced, and the new one comes last. If anything fails, the old files are as they were; if
    this process is killed amid the renaming, they are in the temporary folder.

    Args:
        paths: The files, in the order in which they take their places; the one that readers begin
            with is the last.

    Yields:
        The temporary folder. What the block writes there besides is removed.

    Raises:
        OSError: If a file cannot be written; it names the file, not its temporary stand-in.
    """
    first = paths[-1]
    with naming(first, first.parent):
        temporary = tempfile.TemporaryDirectory(dir=first.parent, prefix=f".{first.name}.")
    with temporary as name:
        folder = Path(name)
        with naming(first, folder):
            yield folder
        for path in paths:
            with naming(path, folder):
                (folder / path.name).chmod(0o644)
                with (folder / path.name).open("rb") as file:
                    os.fsync(file.fileno())
        _take_places(folder, paths)


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Name a file in the errors of its temporary stand-in, or of a full disk, which name none.

    Args:
        path: The file.
        temporary: The stand-in, or its folder; errors that name other files stay as they are.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is None or Path(os.fsdecode(named)).is_relative_to(temporary):
            error.filename = str(path)
            del error.filename2  # the message would end in "-> None" if it were set to None
        raise


def _take_places(folder: Path, paths: Sequence[Path]) -> None:
    """Move files out of a folder to where they belong; on failure, put back what was there."""
    old = Path(tempfile.mkdtemp(dir=folder))
    moved: list[Path] = []
    placed: list[Path] = []
    try:
        for path in reversed(paths):  # the one that readers begin with goes first
            if path.is_dir():  # it would be removed with the temporary folder
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            with suppress(FileNotFoundError):
                path.rename(old / path.name)
                moved.append(path)
        for path in paths:
            (folder / path.name).rename(path)
            placed.append(path)
    except BaseException:
        for path in placed:
            path.unlink()
        for path in reversed(moved):
            (old / path.name).rename(path)
        raise


def printable(text: str) -> str:
    """Return a text that can be printed and written anywhere.

    Names of files may have bytes that are not UTF-8; they are escaped.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def parsing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever is raised while a file is parsed into one line that names the file.

    Parsers raise exceptions of all kinds on damaged files: OverflowError, RecursionError,
    MemoryError and errors of the libraries that they call.

    Raises:
        MixnasError: If the block raises an exception.
    """
    try:
        yield
    except MixnasError:
        raise
    except Exception as error:
        raise MixnasError(f"{path} cannot be read: {reason_of(error)}") from None


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


def packaged(*parts: str) -> Path:
    """Return a file or folder of the package ``search_spaces``, which lies beside this one.

    It is not looked for by its name: the working directory may hold a folder that is called so.
    """
    return Path(__file__).parents[1].joinpath("search_spaces", *parts)


def is_occupied(path: Path) -> bool:
    """Tell whether a path is a file, or a folder with something in it apart from its lock."""
    if not path.is_dir():
        return path.exists()
    return any(entry.name != LOCK for entry in path.iterdir())


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

    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MixnasError(
            f"another process is working in {path}; wait until it has finished"
        ) from None
    return lock


@contextmanager
def taken_folder(path: Path | None, name: str) -> Iterator[tuple[Path, FileLock]]:
    """Create a folder that no other process can have, before anything that takes long.

    If the block fails before it has written anything there, the folder is removed again.

    Args:
        path: The folder; None for a new one below ``runs/``, made of the name and the local time.
        name: What is to be in it.

    Yields:
        The folder, and its lock (see `claim_folder`).

    Raises:
        MixnasError: If the folder has something in it, cannot be created, or is in use.
    """
    there = {folder for folder in (path or RUNS, (path or RUNS).parent) if folder.exists()}
    path = _new_run(name) if path is None else _created(path)
    lock = claim_folder(path)
    try:
        refuse_occupied(path, "choose another --out")  # filled by another process meanwhile
        yield path, lock
    except BaseException:
        if not is_occupied(path):
            (path / LOCK).unlink(missing_ok=True)
            for folder in (path, path.parent):
                if folder not in there:
                    with suppress(OSError):  # others have something in it
                        folder.rmdir()
        lock.release()
        raise


def _created(path: Path) -> Path:
    refuse_occupied(path, "choose another --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MixnasError(f"{path} cannot be created ({error}); choose another --out") from None
    return path


def _new_run(name: str) -> Path:
    """Create a folder below ``runs/``; a second one within the same second gets a number."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        path = RUNS / (f"{name}-{now}" if number == 1 else f"{name}-{now}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MixnasError(f"{path} cannot be created ({error}); give another --out") from None
        return path
    raise AssertionError("unreachable")


@contextmanager
def in_turn(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file during the block; say so if another process has to be waited for.

    Args:
        path: The lock file.
        message: What the other process is doing, printed to standard error.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        print(f"waiting: {message}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def network_file_system(path: Path) -> str | None:
    """Return the kind of the network file system that a path is on, such as ``nfs4``.

    Returns:
        The kind as the system names it; None for a disk of this machine, or if it is not known.
    """
    import psutil

    resolved = path.resolve()
    best: tuple[int, str] = (-1, "")
    for partition in psutil.disk_partitions(all=True):
        mounted = Path(partition.mountpoint)
        if resolved.is_relative_to(mounted):
            # Of two file systems at the same place, the one mounted last is seen.
            best = max((len(mounted.parts), partition.fstype), best, key=lambda found: found[0])
    kind = best[1].lower()
    known = kind.removeprefix("fuse.") in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse.sshfs")
    return kind if known else None


def absolute_path(value: str, names: Collection[str]) -> str:
    """Return an existing path in absolute form; anything else stays as it is.

    Args:
        value: A path, or a name.
        names: Names that stay as they are, whatever files the working directory holds.
    """
    path = Path(value).expanduser()
    return value if value in names or not path.exists() else str(path.resolve())


def is_built_in(name: str, names: Collection[str], what: str) -> bool:
    """Tell whether a name is built in, whatever files the working directory holds.

    If it holds one that is called so, it is said once that this is not used.

    Args:
        name: Name or path, as given by the user.
        names: The names that are built in.
        what: What they are names of, for the message: ``network``.
    """
    if name not in names:
        return False
    if Path(name).exists():
        _say_not_used(Path.cwd() / name, what)
    return True


@lru_cache(maxsize=64)  # so that it is said once
def _say_not_used(path: Path, what: str) -> None:
    kind = "folder" if path.is_dir() else "file"
    _logger.warning(
        "note: %s is the built-in %s, not the %s of this name here; write ./%s for that",
        path.name, what, kind, path.name,
    )  # fmt: skip
