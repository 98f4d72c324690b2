"""Convolutions and other simple layers as nodes of ONNX."""

import numpy as np
import onnx
import pytest

from nas.formats.onnx import to_onnx
from nas.ir import Activation, Conv, Linear, Pad, Seq
from tests.formats.every_node import seq
from tests.formats.onnx.test_network import outputs, pixels


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


def test_explicit_padding_adds_columns_only():
    (node,) = nodes(Seq((("pad", Pad((0, 2, 0, 2))),)), (3, 5, 5), {}).values()
    assert (node.op_type, attribute(node, "group")) == ("Conv", 3)
    assert attribute(node, "pads") == [0, 2, 0, 2]


def test_an_identity_activation_has_no_node():
    tree = Seq((("act", Activation("identity")), ("relu", Activation("relu"))))
    (node,) = nodes(tree, (3, 5, 5), {}).values()
    assert (node.op_type, list(node.input)) == ("Relu", ["images"])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("relu6", [0, 0, 1, 6]),
        ("swish", [-0.0026828, -0.2689414, 0.7310586, 7.9973172]),
        ("hard_swish", [0, -1 / 3, 2 / 3, 8]),
        ("leaky_relu", [-0.8, -0.1, 1, 8]),
    ],
)
def test_values_of_activation_functions(function, expected):
    found = outputs(seq(Activation(function)), (4, 1, 1), pixels(-8, -1, 1, 8))
    assert found.ravel() == pytest.approx(expected, abs=1e-6)


def test_a_linear_layer_takes_a_map_channel_by_channel():
    matrix = np.array([[1, 10, 100, 1000]], np.float32)
    weights = {"0.weight": matrix, "0.bias": np.array([0.5], np.float32)}
    given = np.array([1, 2, 3, 4]).reshape(1, 2, 1, 2)
    assert outputs(seq(Linear(4, 1)), (2, 1, 2), given, weights).tolist() == [[4321.5]]
