"""Networks in darknet's format, in OpenCV, against torch."""

import dataclasses
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks import MBConv
from nas.cost import count
from nas.formats.darknet import to_darknet
from nas.ir import (
    Activation,
    Conv,
    Seq,
    SqueezeExcite,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, candidates
from nas.space import load_space
from nas.spec import Head, Input, NetworkSpec, Stem, load_network
from nas.torch_model import build, weights_of
from tests.formats.darknet.in_opencv import difference, of_spec
from tests.formats.outputs import Phases
from tests.formats.random_weights import random_weights
from tests.test_spec import specs

SMALL = NetworkSpec(
    stem=Stem(channels=8),
    stages=((MBConv(channels=8, kernels=(3, 5), expansion=2, se_ratio=0.5, activation="swish"),),),
    head=Head(channels=0),
    input=Input(resolution=16),
    num_classes=2,
)
CFG = """# A convolutional network, written by mixnas; its last section gives the logits.
# classes: ["a"]
# command: "two\\nlines"
[net]
batch=1
subdivisions=1
width=16
height=16
channels=3

# stem.conv
[convolutional]
filters=8
size=3
stride=2
pad=1
activation=relu

# stages.0.0.expand.conv
[convolutional]
filters=16
size=1
stride=1
activation=swish

# stages.0.0.depthwise.conv
[route]
layers=-1
groups=2
group_id=0

# stages.0.0.depthwise.conv.0
[convolutional]
filters=8
size=3
stride=1
pad=1
groups=8
activation=swish

# stages.0.0.depthwise.conv
[route]
layers=-3
groups=2
group_id=1

# stages.0.0.depthwise.conv.1
[convolutional]
filters=8
size=5
stride=1
pad=1
groups=8
activation=swish

# stages.0.0.depthwise.conv
[route]
layers=-3,-1

# stages.0.0.se
[avgpool]

# stages.0.0.se.reduce
[convolutional]
filters=4
size=1
stride=1
activation=swish

# stages.0.0.se.expand
[convolutional]
filters=16
size=1
stride=1
activation=logistic

# stages.0.0.se
[upsample]
stride=8

# stages.0.0.se
[sam]
from=-5
activation=linear

# stages.0.0.project.conv
[convolutional]
filters=8
size=1
stride=1
activation=linear

# stages.0.0
[shortcut]
from=-13
activation=linear

# pool
[avgpool]

# classifier
[convolutional]
filters=2
size=1
stride=1
activation=linear
"""


class Padded:
    def form(self, mix, shape):
        return candidates(mix).get("padded", MERGE_ALL.form(mix, shape))

    def wide_gate(self, se, shape):
        return True


def test_a_network_is_a_section_per_layer():
    properties = {"classes": '["a"]', "command": "two\nlines"}
    weights = weights_of(build(SMALL, 0))
    model = to_darknet(SMALL.tree(), SMALL.in_shape, weights, properties)
    assert model.cfg == CFG


def test_weights_are_biases_and_kernels_in_the_order_of_the_sections():
    conv = Conv(3, 2, 3, bias=True)
    tree = Seq((("a", conv), ("b", Conv(2, 4, groups=2))))
    rng = np.random.default_rng(0)
    weights = {
        "a.weight": rng.random((2, 3, 3, 3), np.float32),
        "a.bias": np.float32([5, 6]),
        "b.weight": rng.random((4, 1, 1, 1), np.float32),
    }
    model = to_darknet(tree, (3, 4, 4), weights)
    assert struct.unpack("<iiiq", model.weights[:20]) == (0, 2, 5, 0)
    parts = [weights["a.bias"], weights["a.weight"], np.zeros(4), weights["b.weight"]]
    expected = np.concatenate([part.ravel() for part in parts])
    assert np.array_equal(np.frombuffer(model.weights[20:], "<f4"), expected.astype("<f4"))
    assert model.bflops == 2 * (54 + 4) * 16 / 1e9


@pytest.mark.parametrize(
    ("name", "padding", "bflops"),
    [
        ("mixnet_s", "symmetric", 0.478346),
        ("mixnet_m", "symmetric", 0.678346),
        ("mixnet_s", "same", 0.495568),  # kernels with a row and a column of zeros at stride 2
        ("mobilenet_v2", "symmetric", 0.625972),  # two 1x1 convolutions for each ReLU6
    ],
)
def test_bflops_are_those_of_the_convolutions(name, padding, bflops):
    spec = load_network(name).replace(padding=padding)
    model = to_darknet(spec.tree(), spec.in_shape, realistic_weights(spec.tree()))
    assert model.bflops == pytest.approx(bflops, abs=1e-6)


def test_bflops_are_twice_the_multiply_adds_if_nothing_is_added():
    spec = load_network("mixnet_l")
    model = to_darknet(spec.tree(), spec.in_shape, realistic_weights(spec.tree()))
    assert model.bflops == pytest.approx(2 * count(spec).madds / 1e9, abs=1e-12)


@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases(), Padded()])
@pytest.mark.parametrize(("padding", "side"), [("symmetric", 32), ("same", 33)])
def test_mixnet_has_the_outputs_of_torch(padding, side, choice):
    spec = load_network("mixnet_s").replace(padding=padding, input=Input(resolution=side))
    assert of_spec(spec, choice) < 1e-5


@given(specs)
@settings(max_examples=6)
def test_every_kind_of_block(spec):
    def known(block):
        if getattr(block, "activation", "") == "gelu":
            block = dataclasses.replace(block, activation="swish")
        if getattr(block, "norm", "") == "response":
            block = dataclasses.replace(block, norm="none")
        return block

    sayable = spec.stem.activation != "gelu" and spec.stem.norm not in ("layer", "response")
    stem = spec.stem if sayable else Stem(channels=32)
    stages = tuple(tuple(map(known, stage)) for stage in spec.stages)
    head = Head(channels=spec.head.channels)
    spec = spec.replace(stem=stem, stages=stages, head=head)
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None) < 1e-4


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=2)
def test_random_networks_of_mixnet(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    spec = spec.replace(padding=padding, num_classes=10, input=Input(resolution=30 + seed % 9))
    assert of_spec(spec) < 1e-4


@pytest.mark.parametrize("split", ["equal", "exponential"])
@pytest.mark.parametrize(("channels", "routes"), [(48, True), (50, False)])
def test_slices_of_different_sizes(channels, routes, split):
    block = MBConv(
        channels=channels, kernels=(3, 5, 7, 9), expansion=1, split=split, project_groups=3
    )
    spec = SMALL.replace(stem=Stem(channels=channels), stages=((block,),))
    assert of_spec(spec) < 1e-5
    cfg = to_darknet(spec.tree(), spec.in_shape, weights_of(build(spec, 0))).cfg
    assert ("group_id" in cfg) is routes  # else one convolution, whose kernels have zeros


@pytest.mark.parametrize(
    "function", ["relu", "relu6", "leaky_relu", "swish", "hard_swish", "mish", "identity"]
)
def test_activations(function):
    act = Activation(function)
    tree = Seq((("conv", Conv(3, 8, 3, bias=True)), ("act", act), ("again", act)))
    assert difference(tree, (3, 9, 9), random_weights(tree)) < 1e-5
    se = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8, bias=True), function)
    tree = Seq((("conv", Conv(3, 8, 3)), ("se", se)))
    assert difference(tree, (3, 9, 9), random_weights(tree)) < 1e-5
