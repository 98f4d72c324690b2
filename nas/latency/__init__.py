"""Latency on a target device. The runtimes are imported when asked for: they are heavy."""

from __future__ import annotations

from typing import Protocol

from nas.errors import MixnasError, unknown
from nas.latency.protocol import Latency, usable_cores
from nas.spec import NetworkSpec

DEVICES = ("onnxruntime:cpu",)


class Device(Protocol):
    """Something that measures networks, one at a time."""

    device: str

    def conditions(self) -> dict[str, str | int | bool]:
        """Return what two measurements must share to be compared."""
        ...

    def measure(self, spec: NetworkSpec) -> Latency:
        """Measure one network at its input resolution."""
        ...


def open_device(name: str, threads: int | None = None) -> Device:
    """Return a device by name.

    Raises:
        MixnasError: when there is no such device.
    """
    if name not in DEVICES:
        raise MixnasError(unknown("device", name, DEVICES))
    from nas.latency.onnxruntime_cpu import OnnxRuntimeCPU

    return OnnxRuntimeCPU(threads)


__all__ = ["DEVICES", "Device", "Latency", "open_device", "usable_cores"]
