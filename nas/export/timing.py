"""The latency of what was written, on a device whose runtime takes the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.device import ExportDevice
from nas.latency import LocalDevice, MeasurementSettings
from nas.spec import NetworkSpec

if TYPE_CHECKING:
    from nas.export.base import Written
    from nas.latency.conditions import Latency

_FIGURES = ("device", "runtime", "machine", "threads", "median_ms", "steady_ms", "noise")


def latency_facts(latency: Latency) -> dict[str, Any]:
    """Return what is told of a latency in the file beside an export."""
    return {name: getattr(latency, name) for name in _FIGURES}


def noise_remark(latency: Mapping[str, Any]) -> str:
    """Return the end of a sentence about such facts: whether the machine was noisy."""
    return "; the machine was not quiet" if latency["noise"] else ""


def file_latency(device: ExportDevice, written: Written, spec: NetworkSpec) -> dict[str, Any]:
    """Return the latency of the very network that was written, under the key ``file_latency``.

    Args:
        device: The device, for the format of the file.
        written: What was written.
        spec: The network.

    Returns:
        The latency; nothing if the device is not a runtime of this machine that takes the format.
    """
    opened = device.opened(MeasurementSettings())
    if not isinstance(opened, LocalDevice) or written.model is None:
        return {}
    runtime = opened.runtime
    if runtime.model_format != device.file_format.model_format:
        return {}
    model = written.model()
    latency = opened.time(lambda: runtime.load_model(model), spec.input.resolution, None)
    return {"file_latency": latency_facts(latency)}


def latency_sentence(path: Path, latency: Mapping[str, Any]) -> str:
    """Return the latency of a file in a sentence."""
    ms, device = latency["steady_ms"], latency["device"]
    return f"{path.name} itself takes {ms:.2f} ms on {device}{noise_remark(latency)}"
