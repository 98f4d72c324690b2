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
    """Import what a path names; the current folder is looked in as well.

    Args:
        name: as ``my_package.my_module:MyClass``.
        what: it is meant to be, for the message.

    Raises:
        MixnasError: when it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MixnasError(f"{what} {name}: there is no module '{error.name}' to import") from None
    except Exception as error:
        raise MixnasError(
            f"{what} {name}: importing it raised {type(error).__name__}: {error}"
        ) from error
    if not hasattr(imported, attribute):
        raise MixnasError(f"{what} {name}: module '{module}' has no '{attribute}'")
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
    """Say how to install a package that is missing; return None if no extra brings it."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in _EXTRAS.items():
        if package in packages:
            return (
                f"the package '{package}' is not installed; install it with "
                f"pip install 'mixnas[{extra}]'"
            )
    return None
