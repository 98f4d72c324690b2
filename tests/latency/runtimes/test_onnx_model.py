"""Networks as serialized ONNX models."""

import onnx
import pytest

from nas.errors import UnrunnableError
from nas.formats import onnx_int8
from nas.ir import Conv, GlobalPool, Linear, Seq
from nas.latency import MeasurementSettings
from nas.latency.remote.device import RemoteDevice
from nas.latency.runtimes import onnx_model as onnx_model_module
from nas.latency.runtimes.base import Program
from nas.latency.runtimes.onnx_model import onnx_model
from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime
from nas.latency.weights import realistic_weights
from nas.spec import load_network

TREE = Seq((("conv", Conv(3, 16, 3)), ("pool", GlobalPool()), ("classifier", Linear(16, 2))))
PROGRAM = Program(TREE, (3, 8, 8), realistic_weights(TREE))


def operators(precision):
    graph = onnx.load_model_from_string(onnx_model(PROGRAM, precision)).graph
    return {node.op_type for node in graph.node}


def test_precisions():
    assert "QuantizeLinear" not in operators("fp32")
    assert "QuantizeLinear" in operators("int8")


@pytest.fixture
def broken_quantizer(monkeypatch):
    def fail(graph, shape):
        raise ValueError("no range for 'conv'\nTrace")

    monkeypatch.setattr(onnx_int8, "quantize", fail)


MESSAGE = r"^the network cannot be quantized to int8: no range for 'conv'$"


def test_a_network_that_cannot_be_quantized_is_unrunnable(broken_quantizer, monkeypatch):
    with pytest.raises(UnrunnableError, match=MESSAGE):
        OnnxRuntime("cpu", threads=1, batch=1, precision="int8").load(PROGRAM)
    OnnxRuntime("cpu", threads=1, batch=1).load(PROGRAM)
    settings = MeasurementSettings(precision="int8", lowered=False)
    device = RemoteDevice("http://board:1", settings, token="a-token")
    with pytest.raises(UnrunnableError, match=MESSAGE):
        device.measure(load_network("mobilenet_v1"))


def test_a_network_that_is_too_large_is_unrunnable(monkeypatch):
    class Large:
        def SerializeToString(self):  # noqa: N802
            raise ValueError

    monkeypatch.setattr(onnx_model_module, "to_onnx", lambda *_: Large())
    with pytest.raises(
        UnrunnableError, match=r"^the network cannot be written as ONNX: ValueError$"
    ):
        onnx_model(PROGRAM, "fp32")


@pytest.mark.parametrize("error", [ModuleNotFoundError("no onnxruntime"), OSError(28, "disk full")])
def test_what_says_nothing_about_the_network_is_raised(monkeypatch, error):
    def fail(graph, shape):
        raise error

    monkeypatch.setattr(onnx_int8, "quantize", fail)
    with pytest.raises(type(error)):
        onnx_model(PROGRAM, "int8")
