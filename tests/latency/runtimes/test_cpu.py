"""What the runtimes on the CPU have in common."""

import pytest

from nas.errors import MixnasError
from nas.latency import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.runtimes.cpu import CpuRuntime
from nas.machine import machine_name, usable_cores
from tests.latency.runtimes.test_models import PROGRAM


class Echo(CpuRuntime):
    """Returns the sizes of models as times."""

    family = "echo"
    title = "Echo"
    model_format = "onnx"
    precisions = ("fp32", "int8")

    def load_model(self, model):
        return lambda: len(model)


def test_what_was_asked_for_is_kept():
    runtime = Echo("cpu", threads=3, batch=5)
    assert (runtime.name, runtime.machine) == ("echo:cpu", machine_name())
    assert (runtime.threads, runtime.batch, runtime.precision) == (3, 5, "fp32")
    assert (runtime.pins_threads, runtime.tunable) == (False, True)
    assert Echo("cpu", None, 1).threads == usable_cores()


def test_networks_are_written_with_the_precision():
    assert Echo("cpu", 1, 1).load(PROGRAM)() > 1000
    int8 = Echo("cpu", 1, 1, "int8")
    assert not int8.tunable  # quantizing takes too long to try many forms
    assert int8.load(PROGRAM)() != Echo("cpu", 1, 1).load(PROGRAM)()


@pytest.mark.parametrize(("family", "title"), [("litert", "LiteRT"), ("openvino", "OpenVINO")])
def test_other_processors_are_refused(family, title):
    with pytest.raises(MixnasError, match=rf"unknown processor of {title} 'tpu'.*; allowed: cpu$"):
        open_runtime(f"{family}:tpu", MeasurementSettings())


def test_other_precisions_are_refused(monkeypatch):
    monkeypatch.setattr(Echo, "precisions", ("fp32",))
    message = r"^precision int8 does not run in Echo; use fp32 there, or another runtime$"
    with pytest.raises(MixnasError, match=message):
        Echo("cpu", 1, 1, "int8")
