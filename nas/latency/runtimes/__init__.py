"""Runtimes by name.

They are imported on first use because they are slow to load.
"""

from __future__ import annotations

from nas.errors import MixnasError, unknown
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes.base import Program, Runtime, TimedRun

FAMILIES = ("onnxruntime", "litert", "torch", "compile")
TORCH_PROCESSORS = ("cpu", "cuda")
EXAMPLES = "onnxruntime:cpu, litert:cpu, torch:cpu, torch:cuda, compile:cpu, http://HOST:PORT"


def open_runtime(name: str, settings: MeasurementSettings) -> Runtime:
    """Return a runtime on this machine.

    Args:
        name: Runtime and processor, such as ``onnxruntime:cpu``; for ONNX Runtime, the processor
            is the short name of an execution provider.
        settings: Settings of the measurements.

    Raises:
        MixnasError: If the runtime does not exist or does not support the settings.
    """
    family, _, processor = name.partition(":")
    if family not in FAMILIES:
        raise MixnasError(f"{unknown('device', name, FAMILIES)}; examples: {EXAMPLES}")
    if not processor:
        raise MixnasError(
            f"device '{name}' does not name a processor; write RUNTIME:PROCESSOR, for example one "
            f"of {EXAMPLES}"
        )
    if family == "onnxruntime":
        from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime

        return OnnxRuntime(
            processor,
            threads=settings.threads,
            batch=settings.batch,
            precision=settings.precision,
        )
    if family == "litert":
        from nas.latency.runtimes.litert_runtime import LiteRT

        return LiteRT(
            processor,
            threads=settings.threads,
            batch=settings.batch,
            precision=settings.precision,
        )
    if processor not in TORCH_PROCESSORS:
        reason = unknown("processor", processor, TORCH_PROCESSORS)
        raise MixnasError(f"{reason}; examples: {EXAMPLES}")
    from nas.latency.runtimes.torch_runtime import Torch

    return Torch(
        processor,
        compiled=family == "compile",
        threads=settings.threads,
        batch=settings.batch,
        precision=settings.precision,
    )


__all__ = ["EXAMPLES", "FAMILIES", "Program", "Runtime", "TimedRun", "open_runtime"]
