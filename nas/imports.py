"""Imports that may fail: a user's own components by import path, and optional packages."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from nas.errors import MixnasError


def looks_like_import(name: str) -> bool:
    """Tell ``my_package.my_module:MyClass`` from a name or an address."""
    module, colon, attribute = name.partition(":")
    return (
        bool(colon)
        and attribute.isidentifier()
        and all(part.isidentifier() for part in module.split("."))
    )


def named_object(name: str, what: str) -> Any:
    """Import an object by its import path; the working directory is searched as well.

    Args:
        name: Import path, such as ``my_package.my_module:MyClass``.
        what: Kind of the object, for the message.

    Raises:
        MixnasError: If the object cannot be imported.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MixnasError(
            f"{what} {name}: there is no module '{error.name}' to import; install it, or run the "
            "command in the folder that contains it"
        ) from None
    except Exception as error:
        raise MixnasError(
            f"{what} {name}: importing it raised {type(error).__name__}: {error}"
        ) from error
    if not hasattr(imported, attribute):
        raise MixnasError(
            f"{what} {name}: module '{module}' has no '{attribute}'; write MODULE:NAME"
        )
    return getattr(imported, attribute)


_EXTRAS = {
    "agent": ("fastapi", "onnx", "onnxruntime", "starlette", "uvicorn"),
    "search": (
        "accelerate",
        "fvcore",
        "httpx",
        "jinja2",
        "kornia",
        "matplotlib",
        "moocore",
        "optuna",
        "pandas",
        "pytorch_optimizer",
        "ray",
        "safetensors",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "torch",
    ),
    "timm": ("timm", "torchvision"),
    "postgresql": ("psycopg",),
}


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return how to install a missing package; None if no extra provides it."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in _EXTRAS.items():
        if package in packages:
            return (
                f"the package '{package}' is not installed; install it with "
                f"pip install 'mixnas[{extra}]'"
            )
    return None
