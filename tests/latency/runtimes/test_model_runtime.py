"""What the runtimes on the CPU have in common."""

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.latency import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.runtimes.base import noise
from nas.latency.runtimes.model_runtime import CpuRuntime
from nas.latency.runtimes.models import serialized
from nas.machine import machine_name, usable_cores
from tests.latency.runtimes.test_models import PROGRAM


class Echo(CpuRuntime):
    """Runs nothing."""

    family = "echo"
    title = "Echo"
    model_format = "onnx"
    precisions = ("fp32", "int8")

    def open_model(self, model, batch):
        return Sizes(model, batch)


class Sizes:
    """Returns the size of a model for every image, and the sum of the image."""

    shape = (1, 2, 2)

    def __init__(self, model, batch):
        self.size, self.batch, self.runs = len(model), batch, 0

    def feed(self, images):
        assert images.shape == (self.batch, *self.shape)
        self.images = images

    def run(self):
        self.runs += 1

    def outputs(self):
        assert self.runs == 1
        return np.stack([(self.size, image.sum()) for image in self.images])


def test_what_was_asked_for_is_kept():
    runtime = Echo("cpu", threads=3, batch=5)
    assert (runtime.name, runtime.machine) == ("echo:cpu", machine_name())
    assert (runtime.threads, runtime.batch, runtime.precision) == (3, 5, "fp32")
    assert (runtime.pins_threads, runtime.tunable) == (False, True)
    assert Echo("cpu", None, 1).threads == usable_cores()


def test_networks_are_written_with_the_precision():
    images = noise(3, (1, 2, 2))
    fp32, int8 = Echo("cpu", 1, 1), Echo("cpu", 1, 1, "int8")
    assert not int8.tunable  # quantizing takes too long to try many forms
    outputs = fp32.outputs(PROGRAM, images)
    assert outputs[:, 0].tolist() == [len(serialized(PROGRAM, "onnx", "fp32", 3))] * 3
    np.testing.assert_allclose(outputs[:, 1], images.sum((1, 2, 3)), rtol=1e-6)
    expected = len(serialized(PROGRAM, "onnx", "int8", 1))
    assert int8.outputs(PROGRAM, images[:1])[0, 0] == expected


def test_every_run_is_one_of_the_model(monkeypatch):
    opened = []
    monkeypatch.setattr(Echo, "open_model", lambda self, *a: opened.append(Sizes(*a)) or opened[0])
    run = Echo("cpu", 1, 4).load(PROGRAM)
    assert all(run() >= 0 for _ in range(3))
    (model,) = opened
    assert (model.runs, model.batch) == (3, 4)
    np.testing.assert_array_equal(model.images, noise(4, (1, 2, 2)))


@pytest.mark.parametrize(
    ("family", "title"), [("litert", "LiteRT"), ("openvino", "OpenVINO"), ("ncnn", "ncnn")]
)
def test_other_processors_are_refused(family, title):
    with pytest.raises(MixnasError, match=rf"unknown processor of {title} 'tpu'.*; allowed: cpu$"):
        open_runtime(f"{family}:tpu", MeasurementSettings())


def test_other_precisions_are_refused():
    message = r"^precision int8 does not run in ncnn; use fp32 there, or another runtime$"
    with pytest.raises(MixnasError, match=message):
        open_runtime("ncnn:cpu", MeasurementSettings(precision="int8"))
