"""A network that is ready to run, as a serialized ONNX model."""

from __future__ import annotations

from nas.errors import UnrunnableError
from nas.formats.onnx import to_onnx
from nas.latency.runtimes.base import Program


def onnx_model(program: Program, precision: str) -> bytes:
    """Return a network as a serialized ONNX model.

    Args:
        program: The network.
        precision: ``fp32``, or ``int8`` for a quantized model.

    Raises:
        UnrunnableError: If the network cannot be quantized, or if the model is too large for the
            format.
    """
    graph = to_onnx(program.tree, program.shape, program.weights)
    try:
        if precision == "int8":
            from nas.formats.onnx_int8 import quantize

            graph = quantize(graph, program.shape)
        return bytes(graph.SerializeToString())
    except (ModuleNotFoundError, OSError):  # a missing package or a full disk says nothing of it
        raise
    except Exception as error:  # the quantizer's and protobuf's exceptions share no other base
        lines = str(error).strip().splitlines() or [type(error).__name__]
        step = "quantized to int8" if precision == "int8" else "written as ONNX"
        raise UnrunnableError(f"the network cannot be {step}: {lines[0][:200]}") from error
