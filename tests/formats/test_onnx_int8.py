"""Quantized models against the models that they were made from."""

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.formats.onnx import to_onnx
from nas.formats.onnx_int8 import quantize
from nas.ir import Activation, Conv, GlobalPool, Linear, Seq
from nas.latency.evaluation import reference_outputs
from nas.latency.parity import difference
from nas.latency.runtimes.base import noise
from nas.latency.weights import realistic_weights
from tests.formats import every_node

SHAPE = (3, 16, 16)
TREE = Seq(
    (
        ("conv", Conv(3, 8, 3, bias=True)),
        ("act", Activation("relu")),
        ("pool", GlobalPool()),
        ("classifier", Linear(8, 5)),
    )
)


@pytest.fixture(scope="module")
def model():
    return to_onnx(TREE, SHAPE, realistic_weights(TREE))


def outputs(model, images):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": images})[0]


def images(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *SHAPE), dtype=np.float32)


def test_outputs_are_close_but_not_equal(model):
    quantized = quantize(model, SHAPE)
    expected, actual = (outputs(m, images(4)) for m in (model, quantized))
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.05


def test_weights_are_int8_with_one_scale_per_channel(model):
    graph = quantize(model, SHAPE).graph
    kinds = {node.op_type for node in graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    ((name, kernel),) = ((n, a) for n, a in arrays.items() if a.shape == (8, 3, 3, 3))
    assert kernel.dtype == np.int8
    (dequantize,) = (node for node in graph.node if node.input[0] == name)
    assert arrays[dequantize.input[1]].shape == (8,)


def test_ranges_come_from_the_images(model):
    # Calibrated on images that are a hundred times too small, large activations are clipped.
    narrow = quantize(model, SHAPE, 0.01 * images(2))
    expected, actual = (outputs(m, images(4)) for m in (model, narrow))
    assert np.abs(actual - expected).max() / np.abs(expected).max() > 0.3


def test_metadata_and_names_stay():
    model = to_onnx(TREE, SHAPE, realistic_weights(TREE), "small", {"classes": '["bee", "ant"]'})
    quantized = quantize(model, SHAPE, images(1))
    assert {p.key: p.value for p in quantized.metadata_props} == {"classes": '["bee", "ant"]'}
    assert [given.name for given in quantized.graph.input] == ["images"]
    assert [given.name for given in quantized.graph.output] == ["logits"]


def test_rows_do_not_depend_on_the_batch(model):
    quantized, given = quantize(model, SHAPE, images(4)), images(5)
    rows = np.concatenate([outputs(quantized, image[None]) for image in given])
    assert np.array_equal(outputs(quantized, given), rows)


def test_every_node_is_quantized_or_left_alone():
    weights, given = realistic_weights(every_node.TREE), noise(8, every_node.SHAPE)
    network = to_onnx(every_node.TREE, every_node.SHAPE, weights)
    quantized = quantize(network, every_node.SHAPE, given)
    expected = reference_outputs(every_node.TREE, weights, given)
    assert 0 < difference(outputs(quantized, given), expected) < 0.1
