"""Every node of the layer tree that darknet can say, in OpenCV against torch, and refusals."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
from tests.formats.darknet.in_opencv import difference
from tests.formats.random_weights import random_weights
from tests.random_trees import TreeDrawer


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
