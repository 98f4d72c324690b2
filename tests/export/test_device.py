"""The device that an export is timed on."""

from typing import ClassVar

import pytest

from nas.errors import MixnasError
from nas.export.device import ExportDevice
from nas.export.registry import FORMATS, find_format
from nas.latency import LocalDevice, MeasurementSettings
from nas.latency.remote.device import RemoteDevice
from nas.testing.fakes import InstantDevice

FILES = MeasurementSettings(lowered=False)
INT8 = find_format("onnx-int8")


class Elsewhere(InstantDevice):
    """A device that keeps count of what it is asked."""

    asked: ClassVar = []

    def __init__(self, settings):
        self.settings = settings

    @property
    def conditions(self):
        self.asked.append(self.settings.precision)
        return InstantDevice(self.settings).conditions


@pytest.fixture
def opened(monkeypatch):
    """Open such devices; return the names and settings so far."""
    found = []

    def open_device(name, settings):
        found.append((name, settings))
        return Elsewhere(settings)

    monkeypatch.setattr("nas.export.device.open_device", open_device)
    monkeypatch.setattr(Elsewhere, "asked", [])
    return found


def test_a_device_is_opened_once_for_each_of_its_settings(opened):
    device = ExportDevice(FORMATS["onnx"], "fake:cpu", lowered=True)
    for _ in range(2):
        device.opened()
    assert opened == [("fake:cpu", MeasurementSettings())]
    device = ExportDevice(INT8, "fake:cpu", lowered=True)
    settings = [MeasurementSettings(precision=precision) for precision in ("fp32", "int8")]
    expected = [("fake:cpu", each) for each in (FILES, *settings)]
    assert opened[1:] == expected
    assert device.elsewhere("int8").settings.precision == "int8"
    device.ask()
    assert opened[1:] == expected


def test_it_measures_as_it_is_told(opened):
    told = MeasurementSettings(threads=1, interval_ms=200.0)
    device = ExportDevice(INT8, "fake:cpu", lowered=True, settings=told)
    device.ask()
    assert {(each.threads, each.interval_ms) for _, each in opened} == {(1, 200.0)}
    assert {(each.precision, each.lowered) for _, each in opened} == {
        ("fp32", False), ("fp32", True), ("int8", True),
    }  # fmt: skip


def test_devices_elsewhere_are_asked_for_the_conditions_of_int8(opened):
    ExportDevice(FORMATS["onnx"], "fake:cpu").ask()
    device = ExportDevice(INT8, "fake:cpu")
    assert Elsewhere.asked == []
    device.ask()
    assert Elsewhere.asked == ["fp32", "int8"]


def test_the_usual_device_of_a_format_runs_its_files():
    for name, found in FORMATS.items():
        assert found.int8 == name.endswith("-int8") == (found.device is not None)
    device = ExportDevice(INT8)
    assert device.name == "onnxruntime:cpu"
    assert isinstance(device.for_files(), LocalDevice)
    device.ask()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch:cpu", "^torch:cpu does not run such a file; choose onnxruntime:cpu, here or on an"),
        ("onnxruntim:cpu", r"^unknown device 'onnxruntim:cpu' \(did you mean 'onnxruntime'"),
        ("", "^unknown device ''"),
        ("onnxruntime:nothing", "unknown ONNX Runtime execution provider 'nothing'"),
    ],
)
def test_a_device_that_does_not_run_the_files_is_refused(name, message):
    with pytest.raises(MixnasError, match=message):
        ExportDevice(INT8, name)


def test_an_agent_is_asked_for_the_runtime_of_the_files(monkeypatch):
    class Board(RemoteDevice):
        agent_runtime = "litert:cpu"
        conditions = InstantDevice().conditions

    monkeypatch.setenv("MIXNAS_TOKEN", "a-token")
    monkeypatch.setattr("nas.export.device.open_device", Board)
    ExportDevice(find_format("tflite-int8"), "http://board:7070").ask()
    device = ExportDevice(INT8, "http://board:7070")
    message = r"^http://board:7070 \(litert:cpu\) does not run such a file; choose onnxruntime:cpu"
    with pytest.raises(MixnasError, match=message):
        device.ask()
    with pytest.raises(MixnasError, match="agents do not measure int8 in OpenVINO"):
        ExportDevice(find_format("openvino-int8"), "http://board:7070/openvino:cpu")
