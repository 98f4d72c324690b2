"""The device that an export is timed on: refused before anything slow, and opened once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from nas.errors import MixnasError
from nas.export.registry import Format
from nas.latency import Device, LocalDevice, MeasurementSettings, open_device
from nas.latency.conditions import USUAL, Precision
from nas.latency.runtimes import FAMILIES

_PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


class ExportDevice:
    """A device by name, opened once for each set of settings.

    Attributes:
        name: Name of the device.
        file_format: Format of the files.
        lowered: Whether the network is exported in its lowered form.
        settings: How it measures, apart from the precision and the form of the network.
    """

    def __init__(
        self,
        file_format: Format,
        name: str | None = None,
        lowered: bool = False,
        settings: MeasurementSettings = USUAL,
    ) -> None:
        """Open the device, without asking or measuring anything.

        Args:
            file_format: Format of the files.
            name: Name of the device; None for the usual one of a format with int8.
            lowered: Whether the network is exported in its lowered form.
            settings: How it measures, apart from the precision and the form of the network.

        Raises:
            MixnasError: If the device does not exist, its runtime is not installed, or it does not
                run the files.
        """
        self.name = (file_format.device or "") if name is None else name
        self.file_format = file_format
        self.lowered = lowered
        self.settings = settings
        self._opened: dict[MeasurementSettings, Device] = {}
        if not file_format.int8:
            self.opened()
            return
        if self.name.partition(":")[0] in FAMILIES:
            self._refuse_another_runtime(self.name)
        if not isinstance(self.for_files(), LocalDevice):
            list(self._elsewhere())

    def opened(self, precision: Precision = "fp32", lowered: bool = True) -> Device:
        """Return the device for networks of a precision, the same one on every call."""
        settings = dataclasses.replace(self.settings, precision=precision, lowered=lowered)
        if settings not in self._opened:
            self._opened[settings] = open_device(self.name, settings)
        return self._opened[settings]

    def for_files(self) -> Device:
        """Return the device as it times files, which have their form already."""
        return self.opened(lowered=False)

    def elsewhere(self, precision: Precision) -> Device:
        """Return the device as it measures networks of a precision that it is not given as files.

        It is another machine, or code of the user's.
        """
        return self.opened(precision, self.lowered)

    def ask(self) -> None:
        """Ask for the conditions of int8, so that a device that refuses them does so now.

        Raises:
            MixnasError: If it cannot be reached, or does not run int8 in the runtime of the files.
        """
        if not self.file_format.int8 or isinstance(self.for_files(), LocalDevice):
            return
        from nas.latency.remote.device import RemoteDevice

        for device in self._elsewhere():
            _ = device.conditions
            if isinstance(device, RemoteDevice):
                self._refuse_another_runtime(device.agent_runtime)

    def _elsewhere(self) -> Iterator[Device]:
        return map(self.elsewhere, _PRECISIONS)

    def _refuse_another_runtime(self, runtime: str) -> None:
        usual = self.file_format.device or ""
        if runtime.partition(":")[0] != usual.partition(":")[0]:
            named = "" if runtime == self.name else f" ({runtime})"
            raise MixnasError(
                f"{self.name}{named} does not run such a file; choose {usual}, here or on another "
                "machine, or leave out --device"
            )
