"""The latency of what was written, on a device whose runtime takes the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.device import ExportDevice
from nas.latency import LocalDevice
from nas.latency.conditions import pause_text
from nas.latency.quiet import quietest
from nas.latency.runtimes.base import ReadingRuntime
from nas.spec import NetworkSpec
from nas.units import number_of

if TYPE_CHECKING:
    from nas.export.base import Written
    from nas.latency.conditions import Latency
    from nas.latency.runtimes.base import TimedRun


def remarks(latency: Mapping[str, Any]) -> str:
    """Return the end of a sentence about a latency: its conditions, and what disturbed it."""
    noise = "; the machine was not quiet" if latency["noise"] else ""
    batch = f", batch {latency['batch']}" if latency["batch"] > 1 else ""
    threads = number_of(latency["threads"], "thread")
    return f" ({threads}{batch}{pause_text(latency)}){noise}"


def file_latency(device: ExportDevice, written: Written, spec: NetworkSpec) -> dict[str, Any]:
    """Return the latency of the very network that was written, under the key ``file_latency``.

    Args:
        device: The device, for the format of the file.
        written: What was written.
        spec: The network.

    Returns:
        The latency; nothing if the device takes no files of the format.
    """
    latency = _latency(device, written, spec)
    return {} if latency is None else {"file_latency": latency.to_dict()}


def _latency(device: ExportDevice, written: Written, spec: NetworkSpec) -> Latency | None:
    from nas.latency.remote.device import RemoteDevice

    opened = device.opened(lowered=device.lowered)
    file_format = device.file_format.model_format
    if isinstance(opened, RemoteDevice):
        if written.model is None or opened.model_format != file_format:
            return None
        model = written.model()
        return quietest(lambda: opened.measure_model(model, spec))
    if not isinstance(opened, LocalDevice):  # code of the user's takes networks, not files
        return None
    load = _loader(opened.runtime, file_format, written)
    side = spec.input.resolution
    return None if load is None else quietest(lambda: opened.time(load, side, None))


def _loader(
    runtime: Any, file_format: str | None, written: Written
) -> Callable[[], TimedRun] | None:
    """Return what makes a file ready to run; None if the runtime does not take it."""
    model, read = written.model, written.read
    if model is not None and runtime.model_format == file_format:
        return lambda: runtime.load_model(model())
    own = isinstance(runtime, ReadingRuntime) and runtime.own_format == file_format
    if read is not None and own:
        return lambda: runtime.load_read(read())
    return None


def latency_sentence(path: Path, latency: Mapping[str, Any]) -> str:
    """Return the latency of a file in a sentence."""
    ms, device = latency["steady_ms"], latency["device"]
    return f"{path.name} itself takes {ms:.2f} ms on {device}{remarks(latency)}"
