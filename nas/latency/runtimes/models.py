"""Networks as serialized models, in the formats that runtimes take.

A format's writer is imported on first use. No writer needs the runtime itself, so that one machine
can write models for another; only TensorFlow Lite's needs the package of LiteRT, for its schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nas.errors import MixnasError, UnrunnableError, reason_of, unknown
from nas.latency.runtimes.base import Program

NARROW_GATES = ("tflite", "ncnn")
"""Formats in which the gates of squeeze-and-excitation are never expanded to the size of the map,
since their runtimes multiply by channels at full speed."""


def serialized(program: Program, model_format: str, precision: str, batch: int) -> bytes:
    """Return a network as a serialized model.

    Args:
        program: The network.
        model_format: Name of the format: ``onnx``, ``tflite`` or ``ncnn``.
        precision: ``fp32``, or ``int8`` for a quantized model.
        batch: Number of images per run, for formats in which it is part of the model.

    Raises:
        MixnasError: If the format is unknown, or does not have the precision.
        UnrunnableError: If the network cannot be quantized, or if the model is too large for the
            format.
        ModuleNotFoundError: If a package that writes the format is not installed.
    """
    if model_format not in _WRITERS:
        raise MixnasError(unknown("model format", model_format, _WRITERS))
    writer = _WRITERS[model_format]
    if precision not in writer.precisions:
        raise MixnasError(
            f"models in the format of {writer.name} are not written with precision {precision}; "
            f"use one of: {', '.join(writer.precisions)}"
        )
    with refusing("quantized to int8" if precision == "int8" else f"written as {writer.name}"):
        return writer.write(program, precision, batch)


@contextmanager
def refusing(step: str) -> Iterator[None]:
    """Turn what libraries raise for a network into an error about it.

    Args:
        step: What is done with the network: ``quantized to int8``.

    Raises:
        UnrunnableError: If it cannot be done. A missing package or a full disk, which say nothing
            of the network, are raised as they are.
    """
    try:
        yield
    except (ModuleNotFoundError, OSError, MixnasError):
        raise
    except Exception as error:  # the quantizers' and protobuf's exceptions share no other base
        raise UnrunnableError(f"the network cannot be {step}: {reason_of(error)}") from error


def _onnx(program: Program, precision: str, batch: int) -> bytes:
    from nas.formats.onnx import to_onnx

    graph = to_onnx(program.tree, program.shape, program.weights)
    if precision == "int8":
        from nas.formats.onnx_int8 import quantize

        graph = quantize(graph, program.shape)
    return bytes(graph.SerializeToString())


def _tflite(program: Program, precision: str, batch: int) -> bytes:
    from nas.formats.tflite import to_tflite

    def write(images: int) -> bytes:
        return to_tflite(program.tree, program.shape, program.weights, batch=images)

    if precision == "fp32":
        return write(batch)
    from nas.formats.tflite_int8 import find_ranges, quantize

    return quantize(write(batch), find_ranges(write(1)))


def _ncnn(program: Program, precision: str, batch: int) -> bytes:
    from nas.formats.ncnn import to_ncnn

    return to_ncnn(program.tree, program.shape, program.weights).packed()


class _FormatWriter(NamedTuple):
    name: str
    write: Callable[[Program, str, int], bytes]
    precisions: tuple[str, ...] = ("fp32",)


_WRITERS = {
    "onnx": _FormatWriter("ONNX", _onnx, ("fp32", "int8")),
    "ncnn": _FormatWriter("ncnn", _ncnn),
    "tflite": _FormatWriter("TensorFlow Lite", _tflite, ("fp32", "int8")),
}
