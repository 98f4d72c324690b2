"""Where mixnas keeps what it learned about a machine between two runs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from nas.errors import MixnasError

VARIABLE = "MIXNAS_CACHE"


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache, made if need be.

    The environment variable ``MIXNAS_CACHE`` names another place.

    Raises:
        MixnasError: when it cannot be made.
    """
    base = os.environ.get(VARIABLE)
    folder = (Path(base) if base else user_cache_path("mixnas")).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MixnasError(
            f"the cache {folder} cannot be made ({error}); set {VARIABLE} to a folder of yours"
        ) from None
    return folder
