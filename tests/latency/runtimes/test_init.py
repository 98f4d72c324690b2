"""Runtimes by name."""

import pytest

from nas.errors import MixnasError
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes import open_runtime


def test_settings_reach_the_runtime():
    settings = MeasurementSettings(threads=1, batch=3, precision="int8")
    runtime = open_runtime("onnxruntime:cpu", settings)
    assert (runtime.name, runtime.threads, runtime.batch) == ("onnxruntime:cpu", 1, 3)
    assert (runtime.precision, runtime.tunable) == ("int8", False)
    compiled = open_runtime("compile:cpu", MeasurementSettings(threads=1, batch=2))
    assert (compiled.name, compiled.threads, compiled.batch) == ("compile:cpu", 1, 2)
    assert (compiled.tunable, open_runtime("torch:cpu", MeasurementSettings()).tunable) == (
        False,
        True,
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onnxruntime:gpu", "unknown ONNX Runtime execution provider 'gpu'.*allowed: .*cpu"),
        (
            "onyxruntime:cpu",
            "unknown device 'onyxruntime:cpu'.*onnxruntime:cpu, litert:cpu",
        ),
        ("torch", "device 'torch' does not name a processor; write RUNTIME:PROCESSOR"),
        ("torch:tpu", "unknown processor 'tpu'.*allowed: cpu, cuda"),
    ],
)
def test_unknown_runtimes_are_refused(name, message):
    with pytest.raises(MixnasError, match=message):
        open_runtime(name, MeasurementSettings())


def test_int8_is_refused_by_torch():
    with pytest.raises(MixnasError, match="int8 runs in ONNX Runtime only"):
        open_runtime("torch:cpu", MeasurementSettings(precision="int8"))
