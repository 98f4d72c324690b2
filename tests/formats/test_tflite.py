"""TensorFlow Lite models in LiteRT against torch, and their operators."""

from functools import partial

import pytest
from hypothesis import given, settings

from nas.formats.tflite import to_tflite
from nas.ir import Activation, Conv, MixConv, Pad, Residual, Seq
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network, reference_names
from tests.formats import outputs
from tests.formats.outputs import ACTIVATIONS, Phases, convolutions, lowered_trees, members
from tests.test_spec import specs

litert = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def in_litert(tree, shape, weights, images):
    """Return the outputs of a tree that is written as a model and run in LiteRT."""
    model = to_tflite(tree, shape, weights, batch=len(images))
    interpreter = litert.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["name"] == "images"
    assert found["name"] == "logits"
    interpreter.set_tensor(given["index"], images.transpose(0, 2, 3, 1))
    interpreter.invoke()
    outputs = interpreter.get_tensor(found["index"])
    return outputs.transpose(0, 3, 1, 2) if outputs.ndim == 4 else outputs


difference = partial(outputs.difference, in_litert)
of_spec = partial(outputs.of_spec, in_litert)


def check_reference(name, padding, choice):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=33))
    assert of_spec(spec, choice) < 1e-5


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_mixnet_as_phases(padding):
    check_reference("mixnet_s", padding, Phases())


@pytest.mark.slow
@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases()], ids=["plain", "merged", "phases"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", reference_names())
def test_reference_networks(name, padding, choice):
    check_reference(name, padding, choice)


@given(specs)
@settings(max_examples=12)
def test_every_kind_of_block(spec):
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None, batch=1) < 1e-4


@given(members())
@settings(max_examples=3)
def test_random_networks_of_mixnet(spec):
    assert of_spec(spec, Phases()) < 1e-4


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations(function):
    tree = Seq((("conv", Conv(3, 8, 3, bias=True)), ("act", Activation(function))))
    assert difference(tree, (3, 9, 7), realistic_weights(tree)) < 1e-5


@given(convolutions())
@settings(max_examples=40)
def test_convolutions(case):
    tree, shape, choice = case
    assert difference(tree, shape, realistic_weights(tree), choice) < 1e-5


@given(lowered_trees())
@settings(max_examples=20)
def test_what_only_lowering_makes(case):
    tree, shape = case
    assert difference(tree, shape, realistic_weights(tree)) < 1e-5


def operators(tree, shape, weights):
    """Return the names of a model's operators in order, and the model."""
    model = schema.ModelT.InitFromPackedBuf(to_tflite(tree, shape, weights, "a graph", {"k": "v"}))
    (graph,) = model.subgraphs
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    codes = [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators]
    return [names[code] for code in codes], model


def test_even_slices_are_one_split_and_others_are_cut_out():
    cases = [((4, 4), ["SPLIT"]), ((4, 6), ["SLICE"] * 2), ((4,) * 5, ["SLICE"] * 5)]
    for widths, expected in cases:
        mix = MixConv(tuple(Conv(w, w, 3, groups=w) for w in widths))
        tree = Seq((("mix", mix),))
        names, _ = operators(tree, (sum(widths), 8, 8), realistic_weights(tree))
        assert names == [*expected, *["DEPTHWISE_CONV_2D"] * len(widths), "CONCATENATION"]


def test_relu_is_part_of_a_convolution_but_never_of_a_concatenation():
    conv = Seq((("conv", Conv(4, 4, 3, padding="same")), ("act", Activation("relu"))))
    names, model = operators(conv, (4, 8, 8), realistic_weights(conv))
    assert names == ["CONV_2D"]
    options = model.subgraphs[0].operators[0].builtinOptions
    assert options.fusedActivationFunction == schema.ActivationFunctionType.RELU
    assert options.padding == schema.Padding.SAME
    mix = MixConv((Conv(2, 2, 3), Conv(2, 2, 5)))
    tree = Seq((("mix", mix), ("act", Activation("relu"))))
    assert operators(tree, (4, 8, 8), realistic_weights(tree))[0][-2:] == ["CONCATENATION", "RELU"]


def test_padding_that_is_not_tensorflows_is_a_layer_of_its_own():
    tree = Seq((("conv", Conv(4, 4, 3, stride=2)),))
    names, model = operators(tree, (4, 8, 8), realistic_weights(tree))
    assert names == ["PAD", "CONV_2D"]
    padding = model.subgraphs[0].operators[1].builtinOptions.padding
    assert padding == schema.Padding.VALID
    pad = Residual((("pad", Pad((0, 0, 0, 0))),))
    assert operators(pad, (4, 8, 8), {})[0] == ["PAD", "ADD"]


def test_a_model_has_its_name_and_metadata():
    tree = Seq((("conv", Conv(3, 4)),))
    _, model = operators(tree, (3, 8, 8), realistic_weights(tree))
    assert model.subgraphs[0].name == b"a graph"
    (metadata,) = model.metadata
    assert metadata.name == b"k"
    assert bytes(model.buffers[metadata.buffer].data) == b"v"
