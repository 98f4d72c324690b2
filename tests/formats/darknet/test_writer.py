"""Networks in darknet's format, in OpenCV, against torch."""

import dataclasses
import random
import struct

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.blocks import MBConv
from nas.cost import count
from nas.errors import MixnasError
from nas.formats.darknet import to_darknet
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    end_shape,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, candidates, lower
from nas.space import load_space
from nas.spec import Head, Input, NetworkSpec, Stem, load_network
from nas.torch_model import build, to_loaded_module, weights_of
from tests.formats.random_weights import random_weights
from tests.networks import trained_like
from tests.random_trees import TreeDrawer
from tests.test_spec import specs

cv2 = pytest.importorskip("cv2")

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


class Phases:
    def form(self, mix, shape):
        forms = candidates(mix)
        return forms.get("split phases", forms.get("phases", MERGE_ALL.form(mix, shape)))

    def wide_gate(self, se, shape):
        return False


class Padded:
    def form(self, mix, shape):
        return candidates(mix).get("padded", MERGE_ALL.form(mix, shape))

    def wide_gate(self, se, shape):
        return True


def in_opencv(model, images):
    buffers = [np.frombuffer(data, np.uint8) for data in (model.cfg.encode(), model.weights)]
    network = cv2.dnn.readNetFromDarknet(*buffers)
    network.setInput(images)
    return np.array(network.forward())


def difference(tree, shape, weights, choice=None, batch=3):
    """Return the largest difference to torch's outputs on any row, relative to the largest."""
    images = np.random.default_rng(0).standard_normal((batch, *shape), dtype=np.float32)
    expected = to_loaded_module(tree, weights)(torch.from_numpy(images)).detach().numpy()
    if choice is not None:
        tree, weights = lower(tree, shape, weights, choice)
    found = in_opencv(to_darknet(tree, shape, weights), images).reshape(expected.shape)
    return np.abs(found - expected).max() / (np.abs(expected).max() or 1)


def of_spec(spec, choice=None):
    return difference(spec.tree(), spec.in_shape, weights_of(trained_like(spec)), choice)


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
        gelu = getattr(block, "activation", "") == "gelu"
        return dataclasses.replace(block, activation="swish") if gelu else block

    sayable = spec.stem.activation != "gelu" and spec.stem.norm != "layer"
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


def test_containers_of_lowered_networks():
    total = Sum((("a", Conv(4, 4)), ("b", Seq((("c", Conv(4, 4, 3)), ("d", Conv(4, 4)))))))
    pad, conv = Pad((0, 1, 0, 1)), Conv(3, 4, 3, padding=(1, 0, 1, 0))
    padded = Seq((("first", Conv(3, 3)), ("pad", pad), ("conv", conv)))
    slices = Slices((("0", Conv(1, 2)), ("1", padded)))
    tree = Seq((("stem", Conv(3, 4)), ("sum", total), ("slices", slices)))
    assert difference(tree, (3, 9, 9), realistic_weights(tree)) < 1e-5


class SayableTrees(TreeDrawer):
    """Draws parts of trees that darknet can say, apart from the padding of some pooling."""

    def choice(self, *values):
        unknown = ("gelu", "hard_sigmoid", "average", "explicit")
        return super().choice(*(value for value in values if value not in unknown))


@st.composite
def sayable_trees(draw):
    """Draw a tree after a convolution, since darknet cannot go back to images, and its shape."""
    unknown = {LayerNorm, LocalResponseNorm, ChannelShuffle, SplitAttention, Pad}
    trees_of = SayableTrees(draw, frozenset(unknown))
    side = trees_of.integer(1, 13)
    stem = Conv(3, trees_of.integer(1, 16), bias=True)
    tree = trees_of.sequence((stem.out_channels, side, side), depth=2)
    children = (("stem", stem), *tree.children)
    end = end_shape(Seq(children), (3, side, side))
    return Seq((*children, *trees_of.tail(end))), (3, side, side)


def has_refused_pooling(tree, shape, weights):
    try:
        to_darknet(tree, shape, weights)
    except MixnasError as error:
        return "it has no maximum pooling" in str(error)
    return False


@given(sayable_trees())
@settings(max_examples=60)
def test_random_trees(case):
    tree, shape = case
    weights = random_weights(tree)
    assume(not has_refused_pooling(tree, shape, weights))
    assert difference(tree, shape, weights) < 1e-4


SAME = Seq(())
CONV = Conv(4, 4, 3, bias=True)


@pytest.mark.parametrize(
    "tree",
    [
        Sum((("a", SAME), ("b", CONV)), "b"),
        Sum((("a", CONV), ("b", SAME))),
        Sum((("a", SAME), ("b", SAME), ("c", SAME))),
        Residual((("drop", Dropout()),)),
        Concat((("a", SAME), ("b", CONV), ("c", SAME))),
        Concat((("a", CONV), ("b", Concat((("a", SAME), ("b", SAME)))))),
        Slices((("a", SAME), ("b", Pool("max", 3))), (1, 3)),
        Slices((("a", Activation("mish")), ("b", SAME)), (2, 2)),
        Slices((("a", SAME),), (4,)),
        Cascade((("a", SAME), ("b", Conv(2, 2, 3))), (2, 2)),
        Cascade(tuple((name, Activation("swish")) for name in "abcd"), (1,) * 4),
        Cascade((("a", CONV),)),
        Seq((("norm", BatchNorm(4)), ("act", Activation("relu")), ("conv", CONV))),
        Residual((("conv", CONV), ("act", Activation("relu")), ("scale", Scale(4)))),
        Seq((("drop", Dropout()), ("linear", Linear(4 * 6 * 6, 5)))),
        Seq((("pool", Pool("average", 7, padding=(0, 0, 1, 1))), ("linear", Linear(4, 5)))),
        Seq((("pool", Pool("average", 6, padding=(0,) * 4, count_padding=True)),)),
    ],
    ids=range(17),
)
def test_containers_and_leaves_in_new_places(tree):
    tree = Seq((("stem", Conv(3, 4)), ("block", tree)))
    assert difference(tree, (3, 6, 6), random_weights(tree)) < 1e-5


@pytest.mark.parametrize(
    ("pool", "size", "padding"),
    [
        (Pool("max", 3, 2), 9, 2),
        (Pool("max", 3, 2), 8, 2),
        (Pool("max", 3, 2, ceil=True), 8, 3),
        (Pool("max", 3, 2, (0,) * 4, ceil=True), 8, 1),
        (Pool("max", 3, 2, (0,) * 4), 8, 0),
        (Pool("max", 3, 2, "same"), 8, 1),
        (Pool("max", 2, 2, "same"), 7, 1),
        (Pool("max", 2, 2), 7, 0),
        (Pool("max", 5), 7, 4),
        (Pool("max", 3, 2, (1, 1, 0, 0)), 8, 2),  # no window reaches a margin there
        (Pool("max", 1, 2), 9, 0),
    ],
)
def test_maximum_pooling_says_its_padding(pool, size, padding):
    tree = Seq((("stem", Conv(3, 4, bias=True)), ("pool", pool)))
    weights = random_weights(tree) | {"stem.bias": np.full(4, -9, np.float32)}
    options = f"[maxpool]\nsize={pool.kernel}\nstride={pool.stride}\npadding={padding}\n"
    assert options in to_darknet(tree, (3, size, size), weights).cfg
    assert difference(tree, (3, size, size), weights) < 1e-5


def test_pooling_and_slicing_have_no_part_in_bflops():
    pool, conv = ("pool", Pool("max", 2, 2)), ("conv", Conv(4, 6, 3))
    tree = Seq((pool, conv, ("linear", Linear(6 * 16, 5))))
    model = to_darknet(tree, (4, 8, 8), random_weights(tree))
    assert model.bflops == 2 * (4 * 6 * 9 * 16 + 6 * 16 * 5) / 1e9


IMAGES = Conv(3, 3)


def split_attention(channels, radix):
    reduce, expand = Conv(channels, 2, bias=True), Conv(2, channels * radix, bias=True)
    return SplitAttention(channels, radix, reduce, BatchNorm(2), "relu", expand)


def gate(function):
    return SqueezeExcite(Conv(3, 2), Conv(2, 3), "relu", gate=function)


def stemmed(leaf):
    return Seq((("a", IMAGES), ("b", leaf)))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (Seq((("a", Conv(3, 8)), ("b", Activation("gelu")))), "a: it has no activation functi"),
        (stemmed(Pad((1, 1, 1, 1))), "b: it has no Pad"),
        (stemmed(ChannelShuffle(3)), "b: it has no ChannelShuffle"),
        (stemmed(LayerNorm(3)), "b: it has no LayerNorm"),
        (stemmed(LocalResponseNorm()), "b: it has no LocalResponseNorm"),
        (stemmed(split_attention(3, 1)), "b: it has no SplitAttention"),
        (stemmed(gate("hard_sigmoid")), "b: it has no hard_sigmoid gate"),
        (stemmed(Pool("average", 3)), "b: it has no average pooling but that of whole maps"),
        (stemmed(Pool("average", 11, 1, "symmetric", False, True)), "b: it has no average pool"),
        (stemmed(Pool("max", 3, 1, (1, 0, 1, 2))), r"b: it has no maximum pooling .* 1, 0, 1, 2 "),
        (stemmed(Pool("max", 3, 1, (1, 1, 0, 0))), r"b: it has no maximum pooling .* 1, 1, 0, 0 "),
        (stemmed(Pool("max", 3, 1, (0, 0, 2, 2))), r"b: it has no maximum pooling .* 0, 0, 2, 2 "),
        (Seq((("a", Conv(3, 3, padding=(0, 0, 0, 1))),)), "a: no square kernel with equal pad"),
        (Residual((("a", IMAGES), ("b", IMAGES))), "the network: it cannot add the images"),
        (Seq((("c", Residual((("a", SAME),))),)), "c: it cannot add the images"),
        (Sum((("a", IMAGES), ("b", IMAGES))), "b: it cannot go back to the images"),
        (Sum((("a", IMAGES), ("b", SAME))), "the network: it cannot add the images"),
        (Sum((("a", SAME), ("b", IMAGES))), "the network: it cannot add the images"),
        (Concat((("a", IMAGES), ("b", SAME))), "the network: it cannot concatenate the images"),
        (Seq((("c", Slices((("a", Conv(1, 3)), ("b", Conv(2, 3))))),)), "c: it cannot slice the"),
        (Seq((("se", gate("sigmoid")),)), "se: it cannot multiply the images"),
        (Seq((("drop", Dropout()),)), "the network: it cannot end with the images"),
    ],
)
def test_what_darknet_does_not_have_is_refused(tree, message):
    with pytest.raises(MixnasError, match=f"^darknet cannot write {message}"):
        to_darknet(tree, (3, 9, 9), random_weights(tree))


def test_maps_that_are_not_square_are_refused_where_they_would_have_to_be():
    weights = random_weights(linear := stemmed(Linear(3 * 4 * 5, 2)))
    with pytest.raises(MixnasError, match=r"write b: its map of 4 x 5 pixels is not square$"):
        to_darknet(linear, (3, 4, 5), weights)
    with pytest.raises(MixnasError, match=r"write b: its maps are not square$"):
        to_darknet(stemmed(gate("sigmoid")), (3, 4, 5), random_weights(stemmed(gate("sigmoid"))))
    pooled = Seq((("a", IMAGES), ("pool", GlobalPool()), ("b", Linear(3, 2))))
    assert difference(pooled, (3, 4, 5), random_weights(pooled)) < 1e-5
