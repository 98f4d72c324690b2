"""Runtimes by name."""

import sys

import pytest

from nas.errors import MixnasError
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes import EXAMPLES, FAMILIES, open_runtime


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


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens_with_the_format_of_its_table(family):
    runtime = open_runtime(f"{family}:cpu", MeasurementSettings(threads=1))
    assert runtime.name == f"{family}:cpu"
    assert runtime.model_format == FAMILIES[family].model_format
    assert f"{family}:cpu" in EXAMPLES.split(", ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onnxruntime:gpu", "unknown ONNX Runtime execution provider 'gpu'.*allowed: .*cpu"),
        (
            "onyxruntime:cpu",
            "unknown device 'onyxruntime:cpu'.*onnxruntime:cpu, openvino:cpu, litert:cpu",
        ),
        ("torch", "device 'torch' does not name a processor; write RUNTIME:PROCESSOR"),
        ("torch:tpu", "unknown processor of torch 'tpu'.*allowed: cpu, cuda"),
    ],
)
def test_unknown_runtimes_are_refused(name, message):
    with pytest.raises(MixnasError, match=message):
        open_runtime(name, MeasurementSettings())


def test_int8_is_refused_by_torch():
    with pytest.raises(MixnasError, match="int8 does not run in torch"):
        open_runtime("torch:cpu", MeasurementSettings(precision="int8"))


@pytest.mark.parametrize(
    ("name", "module", "package", "extra"),
    [
        ("onnxruntime:cpu", "onnxruntime", "onnxruntime", "onnxruntime"),
        ("openvino:cpu", "openvino", "openvino", "openvino"),
        ("litert:cpu", "ai_edge_litert.interpreter", "ai_edge_litert", "litert"),
        ("compile:cpu", "torch", "torch", "search"),
    ],
)
def test_a_runtime_that_is_not_installed_is_named_with_its_install_line(
    monkeypatch, name, module, package, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    ours = f"nas.latency.runtimes.{FAMILIES[name.partition(':')[0]].module}"
    monkeypatch.delitem(sys.modules, ours, raising=False)
    message = (
        rf"^device '{name}' needs the package '{package}', which is not installed; install it with "
        rf"pip install 'mixnas\[{extra}\]'$"
    )
    with pytest.raises(MixnasError, match=message):
        open_runtime(name, MeasurementSettings())


def test_a_module_of_ours_that_is_missing_is_no_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nas.latency.runtimes.litert_runtime", None)
    with pytest.raises(ModuleNotFoundError):
        open_runtime("litert:cpu", MeasurementSettings())
