"""Latency on a target device.

The runtimes are imported on first use because they are slow to load.
"""

from __future__ import annotations

from nas.imports import looks_like_import, named_object
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.device import Device, LocalDevice, measure_quietly
from nas.latency.runtimes import EXAMPLES
from nas.machine import usable_cores


def open_device(name: str, settings: MeasurementSettings = MeasurementSettings()) -> Device:  # noqa: B008
    """Return a device by name.

    Args:
        name: A local runtime (``onnxruntime:cpu``, ``torch:cuda``), the address of a device agent
            (``http://board:7070``), or the import path of a user-defined device
            (``my_package.my_module:MyDevice``), which is called with the settings.
        settings: Settings of the measurements.

    Raises:
        MixnasError: If the device does not exist or does not support the settings.
    """
    if name.startswith(("http://", "https://")):
        from nas.latency.remote.device import RemoteDevice

        return RemoteDevice(name, settings)
    if looks_like_import(name) and "." in name:
        device: Device = named_object(name, "device")(settings)
        return device
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
