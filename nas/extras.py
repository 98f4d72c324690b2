"""Which optional packages belong to which extra of the installation."""

from __future__ import annotations

_AGENT = ("fastapi", "onnx", "onnxruntime", "starlette", "uvicorn")
_SEARCH = (
    "fvcore",
    "httpx",
    "jinja2",
    "matplotlib",
    "moocore",
    "optuna",
    "pandas",
    "ray",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
)


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Say which extra brings a package that is not installed; None when none of ours does."""
    package = (error.name or "").partition(".")[0]
    if package not in (*_AGENT, *_SEARCH):
        return None
    extra = "agent" if package in _AGENT else "search"
    what = "a machine that only measures" if extra == "agent" else "a desk"
    return (
        f"the package '{package}' is not installed; what {what} needs comes with "
        f"pip install 'mixnas[{extra}]'"
    )
