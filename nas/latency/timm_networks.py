"""The latency of timm's networks, which have no layer tree.

They are exported by torch's exporter, or run by torch as they are; nothing is lowered. Weights are
random.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nas.errors import UnrunnableError
from nas.ir import Shape
from nas.latency.runtimes import Runtime, TimedRun
from nas.latency.runtimes.models import refusing
from nas.named import TimmNetwork

if TYPE_CHECKING:
    from torch import nn

QUANTIZED_IN = "onnxruntime"
"""The runtime in which int8 is measured; the other ones quantize layer trees."""


@runtime_checkable
class ModuleRuntime(Runtime, Protocol):
    """A runtime that runs torch modules as they are."""

    def load_module(self, module: nn.Module, shape: Shape) -> TimedRun:
        """Make a module ready to run on images of random noise.

        Args:
            module: Module: images (N, C, H, W) -> logits.
            shape: Shape of one image (C, H, W).

        Raises:
            UnrunnableError: If the runtime cannot run it.
        """
        ...


def check_runtime(runtime: Runtime, precision: str, name: str) -> None:
    """Refuse a runtime that does not run timm's networks.

    Args:
        runtime: The runtime.
        precision: ``fp32`` or ``int8``.
        name: Name of the network, for the message.

    Raises:
        UnrunnableError: If the runtime takes neither ONNX models nor torch modules, or if it does
            not take them with the precision.
    """
    if not isinstance(runtime, ModuleRuntime) and runtime.model_format != "onnx":
        raise UnrunnableError(
            f"{runtime.name} does not run {name}: networks of timm are exported to ONNX only; use "
            "onnxruntime:cpu, openvino:cpu or torch:cpu"
        )
    family = runtime.name.partition(":")[0]
    if precision == "int8" and family != QUANTIZED_IN:
        raise UnrunnableError(
            f"{runtime.name} does not run {name} in int8: networks of timm are quantized for ONNX "
            "Runtime only; use onnxruntime:cpu, or fp32"
        )


def timm_loader(runtime: Runtime, network: TimmNetwork, precision: str) -> Callable[[], TimedRun]:
    """Build and export a network; return what makes it ready to run.

    Args:
        runtime: Where it will run; see `check_runtime`.
        network: The network.
        precision: ``fp32`` or ``int8``.

    Raises:
        MixnasError: If timm cannot build the network.
        UnrunnableError: If it can neither be exported nor quantized, or does not run there.
    """
    check_runtime(runtime, precision, network.name)
    module = network.build(seed=0).eval()
    if isinstance(runtime, ModuleRuntime):
        loaded: ModuleRuntime = runtime
        return lambda: loaded.load_module(module, network.in_shape)
    with refusing("exported to ONNX"):
        model = exported(module, network.in_shape)
    if precision == "int8":
        with refusing("quantized to int8"):
            model = _quantized(model, network.in_shape)
    return lambda: runtime.load_model(model)


def exported(module: nn.Module, shape: Shape) -> bytes:
    """Return a module as an ONNX model for batches of any size.

    Args:
        module: Module in evaluation mode: images (N, C, H, W) -> logits.
        shape: Shape of one image (C, H, W).
    """
    import torch

    from nas.formats.quantization import quietly

    # The exporter warns of sizes that the network looks at in Python, which do not vary here, and
    # of its successor, which needs a further package; and it prints what it cannot export.
    with tempfile.TemporaryDirectory() as folder, quietly():
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            module,
            (torch.zeros(1, *shape),),
            str(path),
            dynamo=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        )
        return path.read_bytes()


def _quantized(model: bytes, shape: Shape) -> bytes:
    import onnx

    from nas.formats.onnx_int8 import quantize

    quantized: Any = quantize(onnx.load_model_from_string(model), shape)
    return bytes(quantized.SerializeToString())
