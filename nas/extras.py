"""Which optional packages belong to which extra of the installation."""

from __future__ import annotations

_EXTRAS = {
    "agent": (
        "a machine that only measures",
        ("fastapi", "onnx", "onnxruntime", "starlette", "uvicorn"),
    ),
    "search": (
        "a desk",
        (
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
    ),
    "timm": ("training timm's networks", ("timm", "torchvision")),
    "postgresql": ("a study on a PostgreSQL server", ("psycopg",)),
}


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Say which extra brings a package that is not installed; None when none of ours does."""
    package = (error.name or "").partition(".")[0]
    for extra, (what, packages) in _EXTRAS.items():
        if package in packages:
            return (
                f"the package '{package}' is not installed; what {what} needs comes with "
                f"pip install 'mixnas[{extra}]'"
            )
    return None
