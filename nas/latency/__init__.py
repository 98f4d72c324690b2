"""Latency on a target device. The runtimes are imported when asked for: they are heavy."""

from __future__ import annotations

from nas.imports import looks_like_import, named_object
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.device import Device, LocalDevice, measure_quietly
from nas.latency.runtimes import EXAMPLES
from nas.machine import usable_cores


def open_device(name: str, settings: MeasurementSettings = MeasurementSettings()) -> Device:  # noqa: B008
    """Return a device by name: ``onnxruntime:cpu``, ``torch:cuda``, ``http://board:7070``.

    ``my_package.my_module:MyDevice`` names one of a user's own, made with the settings.

    Raises:
        MixnasError: when there is no such device, or it cannot do what is asked.
    """
    if name.startswith(("http://", "https://")):
        from nas.latency.remote.device import RemoteDevice

        return RemoteDevice(name, settings)
    if looks_like_import(name) and "." in name:
        made: Device = named_object(name, "device")(settings)
        return made
    return LocalDevice(name, settings)


__all__ = [
    "EXAMPLES",
    "Conditions",
    "Device",
    "Latency",
    "LocalDevice",
    "MeasurementSettings",
    "measure_quietly",
    "open_device",
    "usable_cores",
]
