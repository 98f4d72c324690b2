"""ONNX graphs against torch, on reference networks, random networks and every kind of block."""

import random

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.export.parity import compare, noise
from nas.export.writers.onnx_file import run_onnx
from nas.formats.onnx import OPSET, to_onnx
from nas.ir import Activation, BatchNorm, Conv, MixConv, Pad, Seq
from nas.space import load_space
from nas.spec import Input, NetworkSpec, load_network, reference_names
from tests.networks import trained_like
from tests.test_spec import specs


def difference(spec: NetworkSpec) -> float:
    model = trained_like(spec)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = to_onnx(spec.tree(), spec.in_shape, weights)
    return compare(model, run_onnx(graph.SerializeToString()), noise(spec)).difference


@pytest.mark.parametrize("name", reference_names())
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_reference_networks(name, padding):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=65))
    assert difference(spec) < 1e-5


@given(specs)
@settings(max_examples=40)
def test_every_kind_of_block(spec):
    assert difference(spec) < 1e-4


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=10)
def test_random_networks_of_mixnet(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    spec = spec.replace(padding=padding, num_classes=10, input=Input(resolution=40 + seed % 25))
    assert difference(spec) < 1e-4


def nodes(tree, shape, weights):
    """Return the nodes of a tree's graph by name, without the final one."""
    graph = to_onnx(tree, shape, weights, "a graph").graph
    assert graph.name == "a graph"
    assert graph.node[-1].op_type == "Identity"
    return {node.name: node for node in graph.node[:-1]}


def attribute(node, name):
    (value,) = (onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return value


def test_attributes_of_a_convolution():
    # Padding "same" at stride 2 and an even size puts the odd pixel at the bottom and right.
    conv = Conv(4, 6, 3, stride=2, groups=2, bias=True, padding="same")
    weights = {
        "stem.conv.weight": np.zeros((6, 2, 3, 3), np.float32),
        "stem.conv.bias": np.zeros(6, np.float32),
    }
    tree = Seq((("stem", Seq((("conv", conv),))),))
    (node,) = nodes(tree, (4, 8, 8), weights).values()
    assert (node.op_type, node.name) == ("Conv", "stem.conv.out")
    assert list(node.input) == ["images", "stem.conv.weight", "stem.conv.bias"]
    assert attribute(node, "pads") == [0, 0, 1, 1]
    assert attribute(node, "strides") == [2, 2]
    assert attribute(node, "group") == 2


def test_a_mixed_convolution_is_split_and_concatenated():
    mix = MixConv((Conv(2, 3, 3), Conv(4, 5, 5)))
    weights = {
        "mix.0.weight": np.zeros((3, 2, 3, 3), np.float32),
        "mix.1.weight": np.zeros((5, 4, 5, 5), np.float32),
    }
    model = to_onnx(Seq((("mix", mix),)), (6, 7, 7), weights)
    assert [node.op_type for node in model.graph.node] == [
        "Split",
        "Conv",
        "Conv",
        "Concat",
        "Identity",
    ]
    sizes = {i.name: onnx.numpy_helper.to_array(i).tolist() for i in model.graph.initializer}
    assert sizes["mix.sizes"] == [2, 4]
    (logits,) = model.graph.output
    assert logits.type.tensor_type.shape.dim[1].dim_value == 8


def test_explicit_padding_adds_columns_only():
    (node,) = nodes(Seq((("pad", Pad((0, 2, 0, 2))),)), (3, 5, 5), {}).values()
    assert (node.op_type, attribute(node, "group")) == ("Conv", 3)
    assert attribute(node, "pads") == [0, 2, 0, 2]


def test_an_identity_activation_has_no_node():
    tree = Seq((("act", Activation("identity")), ("relu", Activation("relu"))))
    (node,) = nodes(tree, (3, 5, 5), {}).values()
    assert (node.op_type, list(node.input)) == ("Relu", ["images"])


def test_names_of_input_and_output_and_versions():
    weights = {
        f"norm.{part}": np.ones(3, np.float32)
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    model = to_onnx(Seq((("norm", BatchNorm(3)),)), (3, 5, 4), weights)
    (images,) = model.graph.input
    assert images.name == "images"
    dims = images.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, 5, 4]
    assert [output.name for output in model.graph.output] == ["logits"]
    assert [opset.version for opset in model.opset_import] == [OPSET]


def test_properties_are_the_metadata_of_the_model():
    weights = {f"norm.{part}": np.ones(3, np.float32) for part in ("weight", "bias")}
    weights |= {f"norm.running_{part}": np.ones(3, np.float32) for part in ("mean", "var")}
    properties = {"classes": '["ant", "b\u00e9e"]', "command": "python -m nas.train"}
    model = to_onnx(Seq((("norm", BatchNorm(3)),)), (3, 5, 4), weights, properties=properties)
    written = onnx.load_from_string(model.SerializeToString())
    assert {prop.key: prop.value for prop in written.metadata_props} == properties
    plain = to_onnx(Seq((("norm", BatchNorm(3)),)), (3, 5, 4), weights)
    assert len(plain.metadata_props) == 0
