"""Devices by name."""

import sys

import pytest

from nas.errors import MixnasError
from nas.latency import (
    LocalDevice,
    MeasurementSettings,
    names_code,
    open_device,
    usable_cores,
)
from nas.latency.remote.device import RemoteDevice
from nas.testing.fakes import InstantDevice


def test_a_runtime_of_this_machine():
    settings = MeasurementSettings(threads=1)
    device = open_device("onnxruntime:cpu", settings)
    assert isinstance(device, LocalDevice)
    assert (device.name, device.settings, device.local) == ("onnxruntime:cpu", settings, True)
    assert open_device("onnxruntime:cpu").conditions.threads == usable_cores()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_agent(scheme, monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", "a-token")
    device = open_device(f"{scheme}://board:7070/", MeasurementSettings(batch=2))
    assert isinstance(device, RemoteDevice)
    assert (device.name, device.settings.batch) == (f"{scheme}://board:7070", 2)
    assert not device.local


def test_a_device_of_the_user_gets_the_settings():
    settings = MeasurementSettings(threads=3)
    device = open_device("nas.testing.fakes:InstantDevice", settings)
    assert isinstance(device, InstantDevice)
    assert device.settings is settings


def test_a_device_of_the_user_that_makes_no_pauses_is_not_taken_for_one_that_does(monkeypatch):
    settings = MeasurementSettings(interval_ms=200.0)
    device = open_device("nas.testing.fakes:InstantDevice", settings)
    assert device.conditions.interval_ms == 200.0
    monkeypatch.setattr(InstantDevice, "__init__", lambda self, settings: None)
    with pytest.raises(
        MixnasError,
        match=r"makes no pauses of 200 ms before runs: the interval_ms .* is 0; omit --int",
    ):
        open_device("nas.testing.fakes:InstantDevice", settings)


def test_unknown_devices_are_refused():
    with pytest.raises(MixnasError, match="unknown device 'tflite:cpu'"):
        open_device("tflite:cpu")
    with pytest.raises(MixnasError, match=r"device no\.where:Device: there is no module 'no'"):
        open_device("no.where:Device")


def test_a_device_in_the_working_directory_needs_no_package(tmp_path, monkeypatch):
    (tmp_path / "myboard.py").write_text(
        "from nas.testing.fakes import InstantDevice\nclass MyDevice(InstantDevice): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    settings = MeasurementSettings(batch=3)
    assert open_device("myboard:MyDevice", settings).settings is settings
    with pytest.raises(MixnasError, match="module 'myboard' has no 'Other'"):
        open_device("myboard:Other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nas.spec:load_network", r"creating it raised \w+: "),
        ("json:loads", "creating it raised TypeError: the JSON object must be str, bytes or"),
        ("pathlib:PurePath", "creating it raised TypeError: "),
        ("builtins:str", "it gives an object of type str, which has no method 'measure'; name a"),
    ],
)
def test_what_is_no_device_is_refused(name, message):
    with pytest.raises(MixnasError, match=rf"^device {name}: {message}"):
        open_device(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("myboard:MyDevice", True),
        ("my.board:MyDevice", True),
        ("onnxruntime:cpu", False),
        ("torch:cuda", False),
        ("compile:cpu", False),
        ("http://board:7070", False),
        ("onnxruntime", False),
    ],
)
def test_names_that_run_code_when_opened(name, code):
    assert names_code(name) is code
