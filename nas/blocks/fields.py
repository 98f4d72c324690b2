"""The types of block fields, with their validation and error messages.

The same types validate a concrete network (`nas.spec`) and the choices of a space (`nas.space`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

KERNEL_SIZES = (1, 3, 5, 7, 9, 11, 13)
MAX_GROUPS = 5
NO_KERNELS = "none"
"""The text that stands for no kernels, where a layer may be left out."""

MAX_CHANNELS = 16384
ACTIVATIONS = (
    "relu",
    "relu6",
    "swish",
    "hard_swish",
    "mish",
    "gelu",
    "leaky_relu",  # of slope 0.1, as in Darknet
    "identity",
)


def _kernel(value: int) -> int:
    if value not in KERNEL_SIZES:
        allowed = ", ".join(map(str, KERNEL_SIZES))
        raise ValueError(f"kernel size {value} is not supported; allowed: {allowed}")
    return value


def _as_list(value: Any) -> Any:
    """Accept ``kernels: 3`` for ``kernels: [3]``, ``3.5.7`` for ``[3, 5, 7]``, ``none`` for ``[]``.

    YAML reads ``3.5`` as a number. No kernel size ends in 0, so the number tells both sizes.
    """
    if isinstance(value, bool):
        return value
    if value == NO_KERNELS:
        return ()
    if isinstance(value, (int, float)):
        value = f"{value:g}"
    if isinstance(value, str):
        parts = value.split(".")
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"'{value}' is not a mix of kernels; write one such as [3, 5], or 3.5")
        return tuple(int(part) for part in parts)
    return value


def _kernels(value: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= len(value) <= MAX_GROUPS:
        raise ValueError(f"{len(value)} kernel groups; allowed: 1 to {MAX_GROUPS} groups")
    return (value[0],) if len(set(value)) == 1 else value


def _whole_as_int(value: float) -> float:
    """Return whole numbers as int, so that 6 and 6.0 are the same choice with the same hash."""
    return int(value) if float(value).is_integer() else value


def _skip(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        raise ValueError(
            f"{str(value)[:80]!r} is no skip connection; allowed: true, false, pool"
        ) from None


def later(default: Any) -> Any:
    """Return a mark for a field that came later than the first documents.

    It is left out of documents, and so of hashes, where it has its default.

    Args:
        default: The field's default.
    """
    return Field(exclude_if=lambda value: bool(value == default))


Kernel = Annotated[int, Field(strict=True), AfterValidator(_kernel)]
AnyKernel = Annotated[int, Field(ge=1, le=max(KERNEL_SIZES), strict=True)]
"""A kernel size, odd or even, of a layer whose padding can be given."""

Pixels = Annotated[int, Field(ge=0, le=16, strict=True)]
Kernels = Annotated[tuple[Kernel, ...], BeforeValidator(_as_list), AfterValidator(_kernels)]
OptionalKernels = Annotated[
    tuple[Kernel, ...], BeforeValidator(_as_list), AfterValidator(lambda v: _kernels(v) if v else v)
]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS, strict=True)]
Stride = Annotated[int, Field(ge=1, le=2, strict=True)]
Skip = Annotated[bool | Literal["pool"], WrapValidator(_skip)]
"""Whether a block's input is added to its output; ``pool`` if its average over 3x3 pixels is."""

Split = Literal["equal", "exponential"]
Groups = Annotated[int, Field(ge=1, le=8, strict=True)]
GroupWidth = Annotated[int, Field(ge=1, le=1024, strict=True)]
Ratio = Annotated[
    float,
    Field(gt=0, le=16),
    AfterValidator(_whole_as_int),
    PlainSerializer(_whole_as_int, return_type=Any),
]
SERatio = Annotated[
    float,
    Field(ge=0, le=1),
    AfterValidator(_whole_as_int),
    PlainSerializer(_whole_as_int, return_type=Any),
]
ActivationName = Literal[ACTIVATIONS]  # type: ignore[valid-type]
