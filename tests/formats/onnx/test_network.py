"""ONNX graphs against torch, on reference networks, random networks and every kind of block."""

import random
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.export.parity import compare, noise
from nas.export.writers.onnx_file import run_onnx
from nas.formats.onnx import to_onnx
from nas.ir import (
    Activation,
    Cascade,
    ChannelShuffle,
    Concat,
    Container,
    Conv,
    Dropout,
    Leaf,
    Linear,
    MixConv,
    Scale,
    Seq,
    Slices,
    Sum,
)
from nas.latency import parity
from nas.latency.weights import realistic_weights
from nas.lowering import lower
from nas.space import load_space
from nas.spec import Input, NetworkSpec, load_network
from nas.torch_model import to_loaded_module
from tests.formats import every_node
from tests.formats.every_node import branches, seq
from tests.formats.outputs import Phases
from tests.networks import LOWERED, OTHERS, small, trained_like
from tests.random_trees import nodes as nodes_of
from tests.random_trees import trees
from tests.test_spec import specs


def difference(spec: NetworkSpec) -> float:
    model = trained_like(spec)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = to_onnx(spec.tree(), spec.in_shape, weights)
    return compare(model, run_onnx(graph.SerializeToString()), noise(spec)).difference


@pytest.mark.parametrize("name", LOWERED)
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_reference_networks(name, padding):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=65))
    assert difference(spec) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_of_every_family(name):
    assert difference(small(name)) < 1e-5


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


def tree_difference(tree, shape, batch, choice=None):
    weights = realistic_weights(tree)
    given = np.random.default_rng(0).standard_normal((batch, *shape), dtype=np.float32)
    with torch.no_grad():
        expected = to_loaded_module(tree, weights)(torch.from_numpy(given)).numpy()
    if choice is not None:
        tree, weights = lower(tree, shape, weights, choice)
    return parity.difference(outputs(tree, shape, given, weights), expected)


@given(trees(), st.sampled_from([1, 3]))
@settings(max_examples=120)
def test_random_trees(case, batch):
    assert tree_difference(*case, batch) < 1e-5


@given(trees(), st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_random_trees_in_lowered_form(case, batch):
    assert tree_difference(*case, batch, Phases()) < 1e-5


@pytest.mark.parametrize("batch", [1, 3])
def test_every_node(batch):
    assert {type(node) for node in nodes_of(every_node.TREE)} == {
        *get_args(Leaf),
        *get_args(Container),
    }
    assert tree_difference(every_node.TREE, every_node.SHAPE, batch) < 1e-5


# -- nodes ---------------------------------------------------------------------------------------


def outputs(tree, shape, given, weights=None):
    """Return the outputs of ONNX Runtime."""
    graph = to_onnx(tree, shape, weights or {})
    return run_onnx(graph.SerializeToString())(np.asarray(given, np.float32))


def operators(tree, shape, weights=None):
    graph = to_onnx(tree, shape, weights or {}).graph
    return [node.op_type for node in graph.node]


def pixels(*values):
    """Return an image of one pixel, as a batch of one."""
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


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


def test_the_output_has_the_dimensions_of_the_last_layer():
    conv = Seq((("conv", Conv(3, 4, stride=2)),))
    linear = seq(Linear(12, 7), Activation("relu"))
    for tree, expected in ((conv, ["batch", 4, 1, 1]), (linear, ["batch", 7])):
        (logits,) = to_onnx(tree, (3, 2, 2), realistic_weights(tree)).graph.output
        dims = logits.type.tensor_type.shape.dim
        assert [dim.dim_param or dim.dim_value for dim in dims] == expected


def test_the_batch_stays_free_behind_every_node():
    tree = every_node.TREE
    model = to_onnx(tree, every_node.SHAPE, realistic_weights(tree))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    found = {v.name: v.type.tensor_type.shape.dim for v in inferred.graph.value_info}
    assert set(found) >= {name for node in model.graph.node[:-1] for name in node.output}
    assert {dims[0].dim_param for dims in found.values()} == {"batch"}


def test_identities_have_no_node():
    tree = seq(Seq(()), Dropout(), Activation("identity"), branches(Concat, Seq(())))
    assert operators(tree, (3, 2, 2)) == ["Identity"]
    given = pixels(1, 2, 3)
    assert (outputs(tree, (3, 1, 1), given) == given).all()


def test_identities_as_branches():
    given = pixels(1, -2, 3, 4)
    for kind, expected in ((Sum, [2, -2, 6, 8]), (Concat, [1, -2, 3, 4, 1, 0, 3, 4])):
        tree = seq(branches(kind, Seq(()), Activation("relu")))
        assert outputs(tree, (4, 1, 1), given).ravel().tolist() == expected
    twice = seq(branches(Sum, Seq(()), Seq(()), Seq(())))
    assert outputs(twice, (4, 1, 1), given).ravel().tolist() == [3, -6, 9, 12]


def test_slices_of_given_sizes():
    relu, leaky = Activation("relu"), Activation("leaky_relu")
    tree = seq(branches(Slices, relu, Seq(()), leaky, sizes=(1, 2, 1)))
    found = outputs(tree, (4, 1, 1), pixels(-1, -2, -3, -4)).ravel()
    assert found == pytest.approx([0, -2, -3, -0.4])
    assert operators(tree, (4, 1, 1)) == ["Split", "Relu", "LeakyRelu", "Concat", "Identity"]
    alone = seq(branches(Slices, relu, sizes=(4,)))
    assert operators(alone, (4, 1, 1)) == ["Relu", "Identity"]


def test_a_cascade_adds_the_output_before():
    tree = seq(branches(Cascade, Activation("relu"), Seq(()), Activation("relu"), sizes=(2, 2, 2)))
    found = outputs(tree, (6, 1, 1), pixels(1, -2, 10, 20, -30, 30)).ravel()
    assert found.tolist() == [1, 0, 11, 20, 0, 50]


def test_channels_are_shuffled():
    tree = seq(ChannelShuffle(2))
    given = np.arange(24).reshape(2, 6, 1, 2)
    found = outputs(tree, (6, 1, 2), given)
    assert (found == given[:, [0, 3, 1, 4, 2, 5]]).all()


def test_channels_are_scaled():
    weights = {"0.weight": np.array([2, -3], np.float32)}
    found = outputs(seq(Scale(2)), (2, 1, 2), [[[[1, 2]], [[3, 4]]]], weights)
    assert found.tolist() == [[[[2, 4]], [[-9, -12]]]]


def test_an_unknown_node_is_refused():
    with pytest.raises(TypeError, match="object cannot be written as ONNX"):
        to_onnx(Seq((("what", object()),)), (3, 2, 2), {})
