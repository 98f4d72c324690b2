"""Leaves of layer trees in ncnn against torch."""

from itertools import product

import numpy as np
import pytest

from nas.blocks.fields import ACTIVATIONS
from nas.ir import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Conv,
    Dropout,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pad,
    Pool,
    Scale,
    Seq,
    SplitAttention,
    SqueezeExcite,
)
from tests.formats.in_ncnn import difference, layers
from tests.formats.random_weights import random_weights


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations(function):
    """After a convolution, after slices, in a gate, and after anything else."""
    mix = MixConv((Conv(3, 3, 3, bias=True), Conv(5, 5, 5, groups=5, bias=True)))
    gate = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8, bias=True), function)
    tree = Seq(
        (
            ("conv", Conv(3, 8, 3, bias=True)),
            ("act", Activation(function)),
            ("mix", mix),
            ("act2", Activation(function)),
            ("se", gate),
            ("act3", Activation(function)),
        )
    )
    assert difference(tree, (3, 9, 7), random_weights(tree)) < 1e-5


def split(channels, radix, activation="swish"):
    reduce, expand = Conv(channels, 4, bias=True), Conv(4, channels * radix, bias=True)
    return SplitAttention(channels, radix, reduce, BatchNorm(4), activation, expand)


LEAVES = [
    LayerNorm(16),
    LayerNorm(16, eps=0.1),
    Scale(16),
    LocalResponseNorm(),
    LocalResponseNorm(3, alpha=2.0, beta=0.5, bias=2.0),
    LocalResponseNorm(4, alpha=1.0, bias=1.5),  # as many channels on both sides there are not
    LocalResponseNorm(2, alpha=1.0),
    LocalResponseNorm(1, alpha=1.0),
    ChannelShuffle(2),
    ChannelShuffle(4),
    ChannelShuffle(16),
    Dropout(),
    split(16, 1),
    split(8, 2),
    split(4, 4, "relu"),
    SqueezeExcite(Conv(16, 4), Conv(4, 16, bias=True), "relu", gate="hard_sigmoid"),
    Pad((1, 0, 2, 3)),
    Linear(16 * 9 * 7, 5),
]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: type(leaf).__name__)
def test_leaves(leaf):
    alone = Seq((("leaf", leaf),))
    assert difference(alone, (16, 9, 7), random_weights(alone)) < 5e-5
    after = Seq((("conv", Conv(3, 16, 3, bias=True)), ("leaf", leaf)))
    assert difference(after, (3, 9, 7), random_weights(after)) < 5e-5


@pytest.mark.parametrize(("channels", "groups"), [(12, 3), (24, 3), (20, 5), (32, 4), (14, 7)])
def test_shuffles_of_any_number_of_channels(channels, groups):
    tree = Seq((("conv", Conv(3, channels)), ("shuffle", ChannelShuffle(groups))))
    assert difference(tree, (3, 5, 4), random_weights(tree)) < 1e-5


@pytest.mark.parametrize("padding", ["symmetric", "same", (0, 0, 0, 0), (1, 0, 2, 1), (0, 1, 2, 2)])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling(kind, padding):
    for ceil, counted, stride in product([False, True], [False, True], [1, 2, 3]):
        tree = Seq((("pool", Pool(kind, 3, stride, padding, ceil, counted)),))
        for shape in [(4, 8, 9), (8, 7, 10), (3, 4, 3)]:
            assert difference(tree, shape, {}, batch=1) < 1e-5, (ceil, counted, stride, shape)


def test_padding_never_wins_a_maximum():
    conv = ("conv", Conv(2, 2, bias=True))
    tree = Seq((conv, ("pool", Pool("max", 3, 2, "same"))))
    weights = random_weights(tree) | {"conv.bias": np.full(2, -99, np.float32)}
    assert difference(tree, (2, 6, 6), weights) < 1e-6


@pytest.mark.parametrize("shape", [(8, 9, 7), (8, 8, 8), (8, 5, 8), (8, 8, 5)])
def test_a_gate_is_one_of_channels_even_if_rows_or_columns_are_as_many(shape):
    gate = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8), "relu")
    tree = Seq((("se", gate), ("pad", Pad((1, 0, 2, 3)))))
    assert difference(tree, shape, random_weights(tree)) < 1e-6


def test_a_pooled_image_is_an_image_of_one_pixel():
    pooled = Seq((("pool", GlobalPool()), ("mix", MixConv((Conv(2, 2), Conv(4, 6, groups=2))))))
    assert difference(pooled, (6, 5, 4), random_weights(pooled)) < 1e-6


def written(leaf, shape):
    """Return the texts of the layers of a leaf, without their names and blobs."""
    lines = layers(Seq((("leaf", leaf),)), shape)[1][3:]
    return [f"{line.split()[0]} {line[line.index('0=') :]}" for line in lines if "=" in line]


def test_a_window_that_fits_in_only_in_part_is_padding_that_is_not_counted():
    pool = Pool("average", 3, 2, (1, 0, 1, 2), ceil=True, count_padding=True)
    padding, pooling = written(pool, (2, 6, 5))
    assert padding == "Padding 0=1 1=1 2=0 3=2"
    assert pooling == "Pooling 0=1 1=3 2=2 3=0 13=0 14=0 15=1 5=1 6=0"
    alone = Pool("average", 3, 2, (0, 0, 0, 0), ceil=True, count_padding=True)
    assert written(alone, (2, 6, 5)) == [pooling]
    counted = Pool("average", 3, 2, (1, 0, 2, 1), count_padding=True)
    expected = "Pooling 0=1 1=3 2=2 3=0 13=1 14=1 15=2 5=1 6=1"
    assert written(counted, (2, 6, 5)) == [expected]


def test_a_maximum_has_nothing_to_count():
    pool = Pool("max", 3, 2, "same", count_padding=True)
    assert written(pool, (2, 6, 6)) == ["Pooling 0=0 1=3 2=2 3=0 13=0 14=1 15=1 5=1"]


def test_functions_of_gates():
    squeeze, expand = Conv(4, 2, bias=True), Conv(2, 4, bias=True)
    hard = SqueezeExcite(squeeze, expand, "relu", gate="hard_sigmoid")
    kinds = ["Split", "Pooling", "InnerProduct", "InnerProduct", "HardSigmoid", "BinaryOp"]
    assert layers(Seq((("se", hard),)), (4, 3, 3))[0] == kinds
    soft = SqueezeExcite(squeeze, expand, "relu")
    assert layers(Seq((("se", soft),)), (4, 3, 3))[0] == [*kinds[:4], "BinaryOp"]
