"""Networks as serialized models."""

import sys

import onnx
import pytest

import nas.formats.onnx
from nas.errors import MixnasError, UnrunnableError
from nas.formats import onnx_int8
from nas.ir import Conv, GlobalPool, Linear, Seq
from nas.latency import MeasurementSettings
from nas.latency.remote.device import RemoteDevice
from nas.latency.runtimes.base import Program
from nas.latency.runtimes.models import serialized
from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime
from nas.latency.weights import realistic_weights
from nas.spec import load_network
from tests.latency.records import latency

TREE = Seq((("conv", Conv(3, 16, 3)), ("pool", GlobalPool()), ("classifier", Linear(16, 2))))
PROGRAM = Program(TREE, (3, 8, 8), realistic_weights(TREE))


def operators(precision):
    graph = onnx.load_model_from_string(serialized(PROGRAM, "onnx", precision, 1)).graph
    return {node.op_type for node in graph.node}


def test_precisions():
    assert "QuantizeLinear" not in operators("fp32")
    assert "QuantizeLinear" in operators("int8")


def test_the_batch_is_part_of_a_tflite_model():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(serialized(PROGRAM, "tflite", "fp32", 5))
    (graph,) = model.subgraphs
    assert list(graph.tensors[graph.inputs[0]].shape) == [5, 8, 8, 3]


def test_tflite_models_are_quantized_for_any_batch():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(serialized(PROGRAM, "tflite", "int8", 5))
    (graph,) = model.subgraphs
    assert list(graph.tensors[graph.inputs[0]].shape) == [5, 8, 8, 3]
    kinds = {tensor.name: tensor.type for tensor in graph.tensors}
    assert kinds[b"conv.weight"] == schema.TensorType.INT8


@pytest.mark.parametrize(
    ("model_format", "precision", "message"),
    [
        ("tensorrt", "fp32", "unknown model format 'tensorrt'; allowed: .*onnx.*tflite"),
        ("onnx", "fp16", "format of ONNX are not written with precision fp16; use .*: fp32, int8"),
        ("tflite", "fp16", "format of TensorFlow Lite are not written with precision fp16; .*int8"),
    ],
)
def test_other_formats_and_precisions_are_refused(model_format, precision, message):
    with pytest.raises(MixnasError, match=message):
        serialized(PROGRAM, model_format, precision, 1)


@pytest.fixture
def broken_quantizer(monkeypatch):
    def fail(graph, shape):
        raise ValueError("no range for 'conv'\nTrace")

    monkeypatch.setattr(onnx_int8, "quantize", fail)


MESSAGE = r"^the network cannot be quantized to int8: no range for 'conv'$"


CONDITIONS_THERE = latency(device="onnxruntime:cpu").conditions


def test_a_network_that_cannot_be_quantized_is_unrunnable(broken_quantizer, monkeypatch):
    with pytest.raises(UnrunnableError, match=MESSAGE):
        OnnxRuntime("cpu", threads=1, batch=1, precision="int8").load(PROGRAM)
    OnnxRuntime("cpu", threads=1, batch=1).load(PROGRAM)
    settings = MeasurementSettings(precision="int8", lowered=False)
    device = RemoteDevice("http://board:1", settings, token="a-token")
    monkeypatch.setattr(RemoteDevice, "_agent_conditions", CONDITIONS_THERE)
    with pytest.raises(UnrunnableError, match=MESSAGE):
        device.measure(load_network("mobilenet_v1"))


def test_a_network_that_is_too_large_is_unrunnable(monkeypatch):
    class Large:
        def SerializeToString(self):  # noqa: N802
            raise ValueError

    monkeypatch.setattr(nas.formats.onnx, "to_onnx", lambda *_: Large())
    with pytest.raises(
        UnrunnableError, match=r"^the network cannot be written as ONNX: ValueError$"
    ):
        serialized(PROGRAM, "onnx", "fp32", 1)


@pytest.mark.parametrize("error", [ModuleNotFoundError("no onnxruntime"), OSError(28, "disk full")])
def test_what_says_nothing_about_the_network_is_raised(monkeypatch, error):
    def fail(graph, shape):
        raise error

    monkeypatch.setattr(onnx_int8, "quantize", fail)
    with pytest.raises(type(error)):
        serialized(PROGRAM, "onnx", "int8", 1)


def test_a_format_whose_package_is_missing_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        serialized(PROGRAM, "tflite", "fp32", 1)
    assert caught.value.name == "ai_edge_litert"
