"""The latency of what was written."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nas.export.base import Export, Written
from nas.export.device import ExportDevice
from nas.export.registry import FORMATS
from nas.export.timing import file_latency, latency_sentence
from nas.export.trained import TrainedModel
from nas.latency import LocalDevice, MeasurementSettings
from nas.latency.profile import DeviceProfile
from nas.latency.remote.device import RemoteDevice
from nas.spec import Input, load_network
from nas.testing.fakes import InstantDevice, exact_latency
from nas.torch_model import build

SPEC = load_network("mixnet_s")
MODEL = Written(lambda images: images, model=lambda: b"model")
READ = Written(lambda images: images, read=lambda: "graph")


class Here(LocalDevice):
    """A runtime of this machine that takes ONNX files, each of which takes 2.5 ms."""

    def __init__(self):
        self.loaded = []
        self.runtime = SimpleNamespace(
            model_format="onnx",
            own_format="openvino",
            load_model=self.loaded.append,
            load_read=self.loaded.append,
        )

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
    assert (latency["median_ms"], list(latency["noise"])) == (2.5, [])
    assert latency.keys() >= {"device", "runtime", "machine", "threads", "steady_ms"}


def test_a_file_of_a_runtimes_own_is_read_by_it(device):
    assert file_latency(on("openvino"), READ, SPEC)["file_latency"]["steady_ms"] == 2.5
    assert device.loaded == ["graph"]
    assert file_latency(on("onnx"), READ, SPEC) == {}


@pytest.mark.parametrize("name", ["torch-export", "pytorch"])
def test_torchs_own_files_are_timed_in_torch(name, tmp_path, monkeypatch):
    spec = SPEC.replace(input=Input(resolution=32))
    export = Export(build(spec, seed=0), TrainedModel(spec))
    written = FORMATS[name].writer()(export, tmp_path / f"net{FORMATS[name].endings[0]}")
    device = LocalDevice("torch:cpu", MeasurementSettings(threads=1, lowered=False))
    monkeypatch.setattr(device, "_profile", DeviceProfile(device.conditions, 1.0))
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: device)
    found = file_latency(on(name, "torch:cpu"), written, spec)["file_latency"]
    assert found["steady_ms"] > 0
    assert (found["device"], found["resolution"]) == ("torch:cpu", 32)
    assert file_latency(on("onnx", "torch:cpu"), written, spec) == {}


class Board(RemoteDevice):
    """A runtime of another machine that takes TensorFlow Lite files."""

    model_format = "tflite"

    def __init__(self, *words):
        self.sent = []

    def measure_model(self, model, spec, effort=None):
        self.sent.append((model, spec, effort))
        return exact_latency(InstantDevice().conditions, spec, 7.5)


def test_another_machine_is_sent_the_very_file(monkeypatch):
    board = Board()
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: board)
    found = file_latency(on("tflite", "http://board:7070"), MODEL, SPEC)
    assert found["file_latency"]["steady_ms"] == 7.5
    assert board.sent == [(b"model", SPEC, None)]
    # It takes no other files, nor what a runtime has read here.
    assert file_latency(on("onnx", "http://board:7070"), MODEL, SPEC) == {}
    assert file_latency(on("tflite", "http://board:7070"), READ, SPEC) == {}


@pytest.mark.parametrize(("lowered", "settings"), [(True, True), (False, False)])
def test_a_network_as_trained_needs_no_forms_of_layers(monkeypatch, lowered, settings):
    opened = []

    def open_device(name, asked):
        opened.append(asked.lowered)
        return Here()

    monkeypatch.setattr("nas.export.device.open_device", open_device)
    device = ExportDevice(FORMATS["onnx"], "onnxruntime:cpu", lowered)
    file_latency(device, MODEL, SPEC)
    assert opened[-1] is settings


@pytest.mark.parametrize("name", ["tflite", "timm", "darknet"])
def test_a_runtime_that_does_not_take_the_format_times_nothing(device, name):
    assert file_latency(on(name), MODEL, SPEC) == {}
    assert device.loaded == []


def test_code_of_the_users_and_unreadable_formats_time_nothing(monkeypatch, device):
    nothing = Written(lambda images: images)
    assert file_latency(on("onnx"), nothing, SPEC) == {}
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: InstantDevice())
    assert file_latency(on("onnx", "mine:Board"), MODEL, SPEC) == {}


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ({}, "fake:cpu (2 threads)"),
        ({"threads": 1, "batch": 4}, "fake:cpu (1 thread, batch 4)"),
        ({"interval_ms": 200.0}, "(2 threads, a pause of 200 ms before each run)"),
        ({"noise": ("busy",)}, "(2 threads); the machine was not quiet"),
    ],
)
def test_it_is_told_in_a_sentence(told, end):
    usual = {"steady_ms": 2.5, "device": "fake:cpu", "threads": 2, "batch": 1, "noise": ()}
    sentence = latency_sentence(Path("a/net.onnx"), usual | told)
    assert sentence.startswith("net.onnx itself takes 2.50 ms on fake:cpu")
    assert sentence.endswith(end)
