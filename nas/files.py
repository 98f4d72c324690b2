"""Files: written whole or not at all, and the cache that outlives a run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from nas.errors import MixnasError

CACHE_VARIABLE = "MIXNAS_CACHE"


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache, made if need be.

    The environment variable ``MIXNAS_CACHE`` names another place.

    Raises:
        MixnasError: when it cannot be made.
    """
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


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file or nothing: to a temporary file beside it, which is then renamed."""
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
