"""The latency of what was written."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nas.export.base import Written
from nas.export.device import ExportDevice
from nas.export.registry import FORMATS
from nas.export.timing import file_latency, latency_sentence
from nas.latency import LocalDevice
from nas.spec import load_network
from nas.testing.fakes import InstantDevice, exact_latency

SPEC = load_network("mixnet_s")
MODEL = Written(lambda images: images, model=lambda: b"model")


class Here(LocalDevice):
    """A runtime of this machine that takes ONNX files, each of which takes 2.5 ms."""

    def __init__(self):
        self.loaded = []
        self.runtime = SimpleNamespace(model_format="onnx", load_model=self.loaded.append)

    def time(self, load, resolution, effort):
        assert (resolution, effort) == (224, None)
        load()
        return exact_latency(InstantDevice().conditions, SPEC, 2.5)


@pytest.fixture
def device(monkeypatch):
    device = Here()
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: device)
    return device


def on(name, device="onnxruntime:cpu"):
    return ExportDevice(FORMATS[name], device)


def test_the_very_file_is_timed(device):
    found = file_latency(on("onnx"), MODEL, SPEC)
    assert device.loaded == [b"model"]
    latency = found["file_latency"]
    assert (latency["median_ms"], latency["noise"]) == (2.5, ())
    assert latency.keys() >= {"device", "runtime", "machine", "threads", "steady_ms"}


@pytest.mark.parametrize("name", ["tflite", "pytorch"])
def test_a_runtime_that_does_not_take_the_format_times_nothing(device, name):
    assert file_latency(on(name), MODEL, SPEC) == {}
    assert device.loaded == []


def test_other_machines_and_unreadable_formats_time_nothing(monkeypatch, device):
    nothing = Written(lambda images: images)
    assert file_latency(on("onnx"), nothing, SPEC) == {}
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: InstantDevice())
    assert file_latency(on("onnx", "http://board:7070"), MODEL, SPEC) == {}


@pytest.mark.parametrize(
    ("noise", "end"), [((), "on fake:cpu"), (("busy",), "; the machine was not quiet")]
)
def test_it_is_told_in_a_sentence(noise, end):
    latency = {"steady_ms": 2.5, "device": "fake:cpu", "noise": noise}
    told = latency_sentence(Path("a/net.onnx"), latency)
    assert told.startswith("net.onnx itself takes 2.50 ms on fake:cpu")
    assert told.endswith(end)
