"""Runtimes by name. They are imported when asked for: they are heavy."""

from __future__ import annotations

from nas.errors import MixnasError, unknown
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes.base import Program, Runtime, TimedRun

FAMILIES = ("onnxruntime", "torch", "compile")
EXAMPLES = "onnxruntime:cpu, torch:cpu, torch:cuda, compile:cpu, http://HOST:PORT"


def open_runtime(name: str, settings: MeasurementSettings) -> Runtime:
    """Return a runtime of this machine by name: ``onnxruntime:cpu``.

    Raises:
        MixnasError: when there is no such runtime, or it cannot do what is asked.
    """
    family, _, place = name.partition(":")
    if family not in FAMILIES:
        raise MixnasError(f"{unknown('device', name, FAMILIES)}; as in {EXAMPLES}")
    if not place:
        raise MixnasError(f"device '{name}' says no place; write {EXAMPLES}")
    if family == "onnxruntime":
        from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime

        return OnnxRuntime(place, settings.threads, settings.batch, settings.precision)
    if place not in ("cpu", "cuda"):
        raise MixnasError(f"{unknown('place', place, ('cpu', 'cuda'))}; as in {EXAMPLES}")
    from nas.latency.runtimes.torch_runtime import Torch

    return Torch(place, family == "compile", settings.threads, settings.batch, settings.precision)


__all__ = ["EXAMPLES", "Program", "Runtime", "TimedRun", "open_runtime"]
