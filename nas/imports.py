"""Imports that may fail: a user's own components by import path, and optional packages."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from nas.errors import MixnasError

_HOME = Path(__file__).parents[1]  # where our packages lie side by side
# Threads of GNU's OpenMP spin for about 10 microseconds, other ones not at all. Training a supernet
# on two threads takes 0.31 s a step if they do not spin, 0.22 s in this way, and 0.19 s if they
# spin for longer; but beside two other processes 0.45, 0.52 and 1.4 s.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
_OURS = "MIXNAS_WAIT_POLICY"  # set where these variables are ours and not the user's


def own_packages_first() -> None:
    """Let ``analysis`` be our package of this name, whatever the working directory holds.

    `python -m` searches the working directory first, where many people have a folder of this name.
    Every process of ours calls this before it imports that package.
    """
    name = "analysis"
    known = sys.modules.get(name)
    if known is not None and str(_HOME / name) in map(str, getattr(known, "__path__", ())):
        return
    spec = PathFinder.find_spec(name, [str(_HOME)])
    if spec is None or spec.loader is None:
        return
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]  # somebody else's, whose own modules keep their references
    ours = importlib.util.module_from_spec(spec)
    sys.modules[name] = ours
    spec.loader.exec_module(ours)


def set_library_defaults() -> None:
    """Set what libraries read from the environment when loaded, unless the user has set it.

    Threads of OpenMP soon sleep while they wait for work. Otherwise they would spin, and keep the
    processor from whoever has work to do: beside other processes, a training on several threads
    takes many times as long. No library sends telemetry (see `without_telemetry`).

    Every process of ours calls this before it imports such a library; its child processes inherit
    the variables.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ.update(_WAITING, **{_OURS: "1"})
    without_telemetry()


@contextmanager
def waiting_as_usual() -> Iterator[None]:
    """Import a library as an application would: its threads wait as the user or OpenMP wants it.

    It serves runtimes with an OpenMP of their own, in which latency is measured.
    """
    changed = {}
    if os.environ.get(_OURS):
        changed = {name: os.environ.pop(name) for name in _WAITING if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(changed)


def without_telemetry() -> None:
    """Keep ONNX Runtime, OpenVINO and NNCF from sending telemetry, or keeping it on the disk.

    It would disturb measurements, and tell others of networks that are nobody's business. Must be
    called before these libraries are imported.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # OpenVINO and NNCF have no such variable, but do without this package where it is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def openvino_core() -> Any:
    """Return the one `openvino.Core` of this process, which is never let go.

    The CPU plugin of a core sets the stack on which signals are handled, and sets the earlier one
    again when it is let go. Of two cores, the second would so set that of the first, even if its
    memory has been freed by then; the next Ctrl-C would end the process (OpenVINO 2026.4).

    Raises:
        ModuleNotFoundError: If OpenVINO is not installed.
    """
    without_telemetry()
    import openvino

    return openvino.Core()


def refuse_shadow(folder: Path) -> None:
    """Refuse a folder whose ``nas`` new processes would import in place of this package.

    Args:
        folder: Folder that is about to be searched for modules before all others.

    Raises:
        MixnasError: If it holds such a module or folder.
    """
    spec = PathFinder.find_spec("nas", [str(folder), *sys.path])
    here = Path(__file__).with_name("__init__.py")
    if spec is not None and (spec.origin is None or Path(spec.origin).resolve() != here.resolve()):
        raise MixnasError(
            f"{folder / 'nas'} takes the place of the package 'nas' of mixnas; rename it, or run "
            "the command in another folder"
        )


def looks_like_import(name: str) -> bool:
    """Tell ``my_package.my_module:MyClass`` from a name or an address."""
    module, colon, attribute = name.partition(":")
    return (
        bool(colon)
        and attribute.isidentifier()
        and all(part.isidentifier() for part in module.split("."))
    )


def _search_here() -> None:
    """Let imports search the working directory as well."""
    here = str(Path.cwd())
    if here not in sys.path:
        refuse_shadow(Path(here))
        sys.path.insert(0, here)


def has_module(name: str) -> bool:
    """Return whether the module of an import path, or its top-level package, can be found."""
    _search_here()
    return importlib.util.find_spec(name.partition(":")[0].partition(".")[0]) is not None


def named_object(name: str, what: str) -> Any:
    """Import an object by its import path; the working directory is searched as well.

    Args:
        name: Import path, such as ``my_package.my_module:MyClass``.
        what: Kind of the object, for the message.

    Raises:
        MixnasError: If the object cannot be imported or called.
    """
    module, _, attribute = name.partition(":")
    _search_here()
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
    found = getattr(imported, attribute)
    if not callable(found):
        raise MixnasError(
            f"{what} {name}: '{attribute}' is {type(found).__name__}; name a class or a function"
        )
    return found


_EXTRAS = {
    "agent": ("fastapi", "starlette", "uvicorn"),
    "int8": ("ai_edge_quantizer", "nncf"),
    "darknet": ("cv2",),
    "onnxruntime": ("onnx", "onnxruntime"),
    "litert": ("ai_edge_litert", "flatbuffers"),
    "ncnn": ("ncnn",),
    "openvino": ("openvino", "onnx"),
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


def is_complete(extra: str) -> bool:
    """Return whether all packages of an extra of this package are installed."""
    return all(importlib.util.find_spec(package) for package in _EXTRAS[extra])


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return how to install a missing package; None if no extra provides it."""
    package = top_package(error)
    extra = extra_of(package)
    if extra is None:
        return None
    return (
        f"the package '{package}' is not installed; install it with pip install 'mixnas[{extra}]'"
    )


def top_package(error: ModuleNotFoundError) -> str:
    """Return the name of the package that could not be imported; empty if it is not known."""
    return (error.name or "").partition(".")[0]


def extra_of(package: str) -> str | None:
    """Return the first extra of this package that installs another package, or None."""
    return next((extra for extra, packages in _EXTRAS.items() if package in packages), None)


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def require(package: str) -> None:
    """Look for a package that is needed later, without importing it.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)
