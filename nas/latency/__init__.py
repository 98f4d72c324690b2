"""Latency on a target device.

The runtimes are imported on first use because they are slow to load.
"""

from __future__ import annotations

from nas.errors import MixnasError, reason_of
from nas.imports import has_module, looks_like_import, named_object
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.device import Device, LocalDevice, check_measurable
from nas.latency.quiet import measure_quietly
from nas.latency.runtimes import EXAMPLES, FAMILIES
from nas.machine import usable_cores


def names_code(name: str) -> bool:
    """Return whether a device's name is an import path, so that opening it runs that code."""
    return looks_like_import(name) and name.partition(":")[0] not in FAMILIES


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
    # A name without a dot may also be a misspelled runtime, which is told by `LocalDevice`.
    if names_code(name) and ("." in name or has_module(name)):
        device = _created(name, settings)
        if settings.interval_ms and device.conditions.interval_ms != settings.interval_ms:
            raise MixnasError(
                f"device '{name}' makes no pauses of {settings.interval_ms:g} ms before runs: the "
                f"interval_ms of its conditions is {device.conditions.interval_ms:g}; omit "
                "--interval"
            )
        return device
    return LocalDevice(name, settings)


def _created(name: str, settings: MeasurementSettings) -> Device:
    """Create a device of the user's own.

    Raises:
        MixnasError: If that fails, or if the result does not measure.
    """
    create = named_object(name, "device")
    try:
        device: Device = create(settings)
    except MixnasError:
        raise
    except Exception as error:
        raise MixnasError(
            f"device {name}: creating it raised {type(error).__name__}: {reason_of(error)}"
        ) from error
    if not hasattr(device, "measure"):
        raise MixnasError(
            f"device {name}: it gives an object of type {type(device).__name__}, which has no "
            "method 'measure'; name a class with the methods of nas.latency.Device"
        )
    return device


__all__ = [
    "EXAMPLES",
    "Conditions",
    "Device",
    "Latency",
    "LocalDevice",
    "MeasurementSettings",
    "check_measurable",
    "measure_quietly",
    "names_code",
    "open_device",
    "usable_cores",
]
