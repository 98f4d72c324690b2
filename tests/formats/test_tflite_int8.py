"""Quantized TensorFlow Lite models against the models that they were made from."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from nas.formats.tflite import to_tflite
from nas.formats.tflite_int8 import find_ranges, quantize
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pool,
    Scale,
    Seq,
    SplitAttention,
    SqueezeExcite,
    Sum,
)
from nas.latency.weights import realistic_weights
from tests.lowering.test_lowered_branches import trained_weights

SHAPE = (3, 12, 12)
MIXED = MixConv((Conv(4, 4, 3, groups=4), Conv(4, 4, 5, groups=4)))
TREE = Seq(
    (
        ("conv", Conv(3, 8, 3, bias=True)),
        ("act", Activation("swish")),
        ("mix", MIXED),
        ("se", SqueezeExcite(Conv(8, 2, bias=True), Conv(2, 8, bias=True), "relu")),
        ("pool", GlobalPool()),
        ("classifier", Linear(8, 5)),
    )
)
PROPERTIES = {"classes": '["bee", "ant"]', "command": "python -m nas.train"}


def write(batch, tree=TREE):
    return to_tflite(tree, SHAPE, realistic_weights(tree), "small", PROPERTIES, batch)


def images(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *SHAPE), dtype=np.float32)


def outputs(model, given):
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    pixels = np.ascontiguousarray(given.transpose(0, 2, 3, 1))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()


@pytest.fixture(scope="module")
def ranges():
    return find_ranges(write(1), images(8, seed=0))


@pytest.fixture(scope="module")
def quantized(ranges):
    return quantize(write(1), ranges)


def test_ranges_are_those_of_the_images():
    given = images(8)
    found = find_ranges(write(1), given)
    assert found["images"] == (given.min(), given.max())
    logits = outputs(write(8), given)
    assert np.allclose(found["logits"], (logits.min(), logits.max()), atol=1e-5)
    assert found["se.gate"][1] <= 1
    assert "conv.weight" not in found
    assert find_ranges(write(1)).keys() == found.keys()  # of random noise


def test_outputs_are_close_but_not_equal(quantized):
    given = images(1, seed=0)  # among those that it was calibrated on
    expected, actual = outputs(write(1), given), outputs(quantized, given)
    assert 0 < np.abs(actual - expected).max() / np.abs(expected).max() < 0.06


def test_all_is_computed_with_int8_but_the_input_and_the_output(quantized):
    model = schema.ModelT.InitFromPackedBuf(quantized, 0)
    (graph,) = model.subgraphs
    kinds = schema.TensorType
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    operators = {
        graph.tensors[op.outputs[0]].name.decode(): (
            names[model.operatorCodes[op.opcodeIndex].builtinCode],
            graph.tensors[op.outputs[0]].type,
        )
        for op in graph.operators
    }
    (last,) = (name for name, (op, _) in operators.items() if op == "DEQUANTIZE")
    assert operators.pop(last) == ("DEQUANTIZE", kinds.FLOAT32)
    assert {kind for _, kind in operators.values()} == {kinds.INT8}
    (given,), (taken,) = graph.inputs, graph.outputs
    assert [graph.tensors[i].type for i in (given, taken)] == [kinds.FLOAT32] * 2
    (kernel,) = (t for t in graph.tensors if t.name.decode().startswith("conv.weight"))
    assert kernel.type == kinds.INT8
    assert len(kernel.quantization.scale) == 8  # one per channel


def test_metadata_stays(quantized):
    model = schema.ModelT.InitFromPackedBuf(quantized, 0)
    found = {
        entry.name.decode(): bytes(model.buffers[entry.buffer].data).decode()
        for entry in model.metadata
    }
    assert found == PROPERTIES


def test_rows_do_not_depend_on_the_batch(ranges, quantized):
    given = images(3)
    rows = np.concatenate([outputs(quantized, image[None]) for image in given])
    assert np.array_equal(outputs(quantize(write(3), ranges), given), rows)


def test_what_integers_cannot_do_stays_float32():
    tree = Seq((("conv", Conv(3, 4, 3, bias=True)), ("act", Activation("mish"))))
    model = to_tflite(tree, SHAPE, realistic_weights(tree))
    given = images(2)
    quantized = quantize(model, find_ranges(model, given))
    expected, actual = outputs(model, given[:1]), outputs(quantized, given[:1])
    assert np.abs(actual - expected).max() / np.abs(expected).max() < 0.05


BRANCHES = Concat(
    (
        ("kept", Seq(())),
        ("max", Pool("max", 3, 1, (1, 0, 1, 2))),
        ("average", Pool("average", 3, count_padding=True)),
    )
)
MANY = Seq(
    (
        ("conv", Conv(3, 8, 3, 2, bias=True)),
        ("norm", BatchNorm(8)),
        ("act", Activation("relu")),
        ("pool", Pool("max", 3, 2)),
        ("response", LocalResponseNorm(4, alpha=1.0)),
        ("layer", LayerNorm(8)),
        ("branches", BRANCHES),
        ("shuffle", ChannelShuffle(4)),
        ("attention", SplitAttention(12, 2, Conv(12, 4), BatchNorm(4), "relu", Conv(4, 24))),
        ("cascade", Cascade((("a", Conv(6, 6, 3)), ("b", Seq(()))), (6, 6))),
        ("sum", Sum((("branch", Scale(12)), ("shortcut", Seq(()))))),
        ("gate", SqueezeExcite(Conv(12, 3), Conv(3, 12), "relu", gate="hard_sigmoid")),
        ("average", Pool("average", 3, 2)),
        ("classifier", Linear(48, 5)),
    )
)


def test_layers_and_containers_of_many_kinds():
    weights, given = trained_weights(MANY), images(16)
    model = to_tflite(MANY, SHAPE, weights)
    quantized = quantize(model, find_ranges(model, given))
    expected, actual = (
        np.concatenate([outputs(m, x[None]) for x in given]) for m in (model, quantized)
    )
    assert np.abs(actual - expected).max() / np.abs(expected).max() < 0.1


def test_variances_and_their_roots_stay_float32():
    tree = Seq((("conv", Conv(3, 8, 3)), ("norm", LayerNorm(8)), ("after", Conv(8, 4))))
    model = to_tflite(tree, SHAPE, trained_weights(tree))
    quantized = schema.ModelT.InitFromPackedBuf(quantize(model, find_ranges(model, images(4))), 0)
    kinds = schema.TensorType
    types = {tensor.name.decode(): tensor.type for tensor in quantized.subgraphs[0].tensors}
    assert types["norm.exact.variance"] == types["norm.exact.factor"] == kinds.FLOAT32
    assert kinds.INT8 in {kind for name, kind in types.items() if name.startswith("after.weight")}


def test_a_layer_whose_outputs_are_zeros_can_be_quantized():
    tree = Seq((("conv", Conv(3, 4, bias=True)), ("act", Activation("relu")), ("more", Conv(4, 2))))
    weights = trained_weights(tree)
    weights["conv.bias"] -= 100
    model = to_tflite(tree, SHAPE, weights)
    given = images(2)
    assert np.all(outputs(quantize(model, find_ranges(model, given)), given[:1]) == 0)


def test_nothing_is_printed(ranges, capfd):
    quantize(write(1), ranges)
    assert "Transformations" not in capfd.readouterr().err
