"""Whether runtimes compute what they should."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from nas.blocks.fields import ACTIVATIONS
from nas.errors import MixnasError, UnrunnableError
from nas.ir import (
    Activation,
    Container,
    Conv,
    Leaf,
    MixConv,
    Pad,
    Pool,
    Seq,
    SqueezeExcite,
    Sum,
    walk,
)
from nas.latency import parity
from nas.latency.conditions import MeasurementSettings
from nas.latency.evaluation import reference_outputs
from nas.latency.parity import SHAPE, check_outputs, difference, network, network_weights, tolerance
from nas.latency.runtimes import FAMILIES, open_runtime
from nas.latency.runtimes.base import noise
from nas.lowering import lowered_tree
from nas.torch_model import to_loaded_module
from tests.random_trees import nodes


def test_differences_are_of_all_outputs_and_relative_to_the_largest():
    expected = np.array([[1.0, -4], [2, 3]])
    assert difference(expected.copy(), expected) == 0
    assert difference(expected - np.array([[0, 0], [0, 1]]), expected) == pytest.approx(0.25)
    assert difference(expected + 1, expected, largest=8) == pytest.approx(1 / 8)
    assert difference(expected[:1], expected) == np.inf
    assert np.isnan(difference(expected * np.nan, expected))


def test_what_is_allowed():
    assert tolerance("fp32", "cpu") == 1e-4
    assert tolerance("fp32", "cuda") == tolerance("fp32", "coreml") == 1e-2
    assert tolerance("int8", "cpu") == 0.3


def test_the_network_has_every_kind_of_layer():
    tree = network()
    layers = [layer.leaf for layer in walk(tree, SHAPE)]
    functions = {leaf.function for leaf in layers if isinstance(leaf, Activation)}
    assert functions == set(ACTIVATIONS)
    mixes = [leaf for leaf in layers if isinstance(leaf, MixConv)]
    convs = [conv for mix in mixes for conv in mix.convs]
    convs += [leaf for leaf in layers if isinstance(leaf, Conv)]
    assert {(c.stride, c.padding) for c in convs} >= {(2, "same"), (2, "symmetric")}
    assert {c.kernel for c in convs} == {1, 3, 5, 7, 9, 11}
    assert {c.dilation for c in convs} == {1, 2}
    assert {c.in_channels // c.groups for c in convs} >= {1, 3, 4, 8, 16}
    assert any(len({conv.in_channels for conv in mix.convs}) > 1 for mix in mixes)

    lowered = lowered_tree(tree, SHAPE, parity._EVERY_FORM)
    kinds = {type(node) for node in nodes(lowered)}
    assert kinds >= {Sum, Pad}
    gates = [node for node in nodes(lowered) if isinstance(node, SqueezeExcite)]
    assert {(gate.gate, gate.wide) for gate in gates} == {("sigmoid", True), ("hard_sigmoid", True)}
    assert kinds | {type(node) for node in nodes(tree)} == {*get_args(Leaf), *get_args(Container)}
    assert any(node.norm for node in nodes(tree) if isinstance(node, SqueezeExcite))
    assert any(node.channels for node in nodes(tree) if isinstance(node, Pad))
    pools = [node for node in nodes(tree) if isinstance(node, Pool)]
    assert {(pool.kind, pool.ceil or pool.count_padding) for pool in pools} == {
        ("max", False),
        ("average", False),
        ("average", True),
    }


def test_torch_computes_the_same():
    tree, given = network(), noise(5, SHAPE)
    weights = network_weights(tree)
    with torch.no_grad():
        expected = to_loaded_module(tree, weights)(torch.from_numpy(given)).numpy()
    assert expected.shape == (5, 10)
    assert difference(reference_outputs(tree, weights, given), expected) < 1e-6


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "compile"])
def test_runtimes_compute_what_they_should(family):
    check_outputs(open_runtime(f"{family}:cpu", MeasurementSettings(threads=1)))


@pytest.mark.parametrize("family", ["onnxruntime", "litert", "openvino"])
def test_int8_is_close(family):
    settings = MeasurementSettings(threads=1, precision="int8")
    check_outputs(open_runtime(f"{family}:cpu", settings), tolerance("int8", "cpu"))


class Wrong:
    """A runtime that computes something else."""

    name, version, tunable = "wrong:cpu", "wrong 1.2", True

    def __init__(self, change):
        self.change, self.batches = change, []

    def outputs(self, program, images):
        self.batches.append(len(images))
        return self.change(reference_outputs(program.tree, program.weights, images), program)


def test_both_forms_are_compared_at_both_batch_sizes():
    right = Wrong(lambda outputs, program: outputs.astype(np.float32))
    check_outputs(right)
    assert right.batches == [1, 5, 1, 5]
    right.tunable, right.batches = False, []
    check_outputs(right)
    assert right.batches == [1, 5]


def swapped(outputs, program):
    return outputs[::-1]


def last_row_off(outputs, program):
    return outputs + 1e-3 * (np.arange(len(outputs)) == 4)[:, None]


def lowered_off(outputs, program):
    wide = any(isinstance(leaf, Pad) for _, leaf, _, _ in walk(program.tree, program.shape))
    return outputs * (1.01 if wide else 1)


@pytest.mark.parametrize(("change", "batch"), [(swapped, 5), (last_row_off, 5), (lowered_off, 1)])
def test_a_runtime_that_computes_something_else_is_refused(change, batch):
    message = (
        rf"^wrong:cpu \(wrong 1\.2\) does not compute what networks define: outputs of batch "
        rf"{batch} differ by \de-\d\d of the largest \(allowed: 1e-04\)\. Its latencies would mean "
        r"nothing: install another version \(constraints\.txt names those that were tested\), or "
        r"choose another device$"
    )
    with pytest.raises(MixnasError, match=message.replace(r"\de", r"\d\.\de")):
        check_outputs(Wrong(change))


def test_nan_is_refused():
    with pytest.raises(MixnasError, match="differ by nan of the largest"):
        check_outputs(Wrong(lambda outputs, program: outputs * np.nan))


def test_a_runtime_that_cannot_run_the_network_is_no_mistake_of_a_network():
    def fail(outputs, program):
        raise UnrunnableError("no such operator")

    with pytest.raises(MixnasError, match=r"cannot run the network of its check \(no such op") as e:
        check_outputs(Wrong(fail))
    assert not isinstance(e.value, UnrunnableError)


@pytest.mark.parametrize("function", [name for name in ACTIVATIONS if name != "identity"])
def test_every_activation_function_matters(function):
    """Another one in its place is noticed, even a close one."""
    close = {"relu": "relu6", "relu6": "relu", "swish": "mish", "mish": "swish",
             "hard_swish": "swish", "gelu": "swish", "leaky_relu": "relu"}[function]  # fmt: skip
    tree, given = network(), noise(5, SHAPE)
    weights = network_weights(tree)
    expected = reference_outputs(tree, weights, given)

    def changed(node):
        if isinstance(node, Activation) and node.function == function:
            return Activation(close)
        if isinstance(node, Container):
            children = tuple((name, changed(child)) for name, child in node.children)
            return dataclasses.replace(node, children=children)
        return node

    assert difference(reference_outputs(changed(tree), weights, given), expected) > 1e-3


def without(node, path):
    """Return a tree in which the node at a path is the identity."""
    name, _, rest = path.partition(".")
    children = tuple(
        (n, child if n != name else without(child, rest) if rest else Seq(()))
        for n, child in node.children
    )
    return dataclasses.replace(node, children=children)


@pytest.mark.parametrize(
    "path",
    [
        "mixed.gate",
        "sum.max",
        "sum.mean",
        "response",
        "concat.counted.pool",
        "shuffle",
        "slices.act",
        "slices.conv",
        "cascade.conv",
        "block.norm",
        "block.scale",
        "hard",
    ],
)
def test_every_layer_matters(path):
    """Outputs are others without it, so that a runtime that leaves it out is noticed."""
    tree, given = network(), noise(5, SHAPE)
    weights = network_weights(tree)
    expected = reference_outputs(tree, weights, given)
    found = reference_outputs(without(tree, path), weights, given)
    assert difference(found, expected) > 1e-3


@pytest.mark.parametrize("name", ["stem", "same", "symmetric"])
def test_every_rule_of_padding_matters(name):
    """At stride 2, the other rule moves the kernels by a pixel."""
    tree, given = network(), noise(5, SHAPE)
    weights = network_weights(tree)
    other = {"same": "symmetric", "symmetric": "same"}

    def changed(conv):
        if isinstance(conv, MixConv):
            return MixConv(tuple(map(changed, conv.convs)))
        return dataclasses.replace(conv, padding=other[conv.padding])

    children = tuple((n, changed(c) if n == name else c) for n, c in tree.children)
    expected = reference_outputs(tree, weights, given)
    assert difference(reference_outputs(Seq(children), weights, given), expected) > 1e-3
