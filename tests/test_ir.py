from itertools import pairwise

import pytest

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Pad,
    Residual,
    Seq,
    SqueezeExcite,
    conv_channels,
    conv_pads,
    elements,
    nested,
    out_shape,
    residual_ends,
    same_pads,
    walk,
)

PAIR = MixConv((Conv(4, 6, 3, 2), Conv(3, 5, 5, 2)))


@pytest.mark.parametrize(
    ("kernel", "dilation", "extent", "margin"),
    [(1, 1, 1, 0), (3, 1, 3, 1), (3, 4, 9, 4), (5, 2, 9, 4), (9, 1, 9, 4)],
)
def test_extent_and_margin(kernel, dilation, extent, margin):
    conv = Conv(8, 8, kernel, dilation=dilation)
    assert (conv.extent, conv.margin) == (extent, margin)


# TensorFlow's documented rule: max((ceil(size / stride) - 1) * stride + extent - size, 0) pixels.
@pytest.mark.parametrize(
    ("size", "extent", "stride", "pads"),
    [
        (8, 3, 1, (1, 1)),
        (8, 3, 2, (0, 1)),  # the odd pixel goes after
        (7, 3, 2, (1, 1)),
        (8, 5, 2, (1, 2)),
        (7, 5, 2, (2, 2)),
        (8, 9, 2, (3, 4)),
        (1, 3, 2, (1, 1)),
        (8, 1, 2, (0, 0)),  # never negative
    ],
)
def test_same_padding(size, extent, stride, pads):
    assert same_pads(size, extent, stride) == pads


def test_the_odd_pixel_of_tensorflows_rule_goes_to_the_bottom_and_right():
    conv = Conv(3, 8, 3, stride=2, padding="same")
    assert conv_pads(conv, (3, 8, 8)) == (0, 0, 1, 1)
    assert conv_pads(conv, (3, 8, 9)) == (0, 1, 1, 1)


def test_padding_by_rule():
    shape = (4, 8, 7)
    assert conv_pads(Conv(4, 4, 5, 2), shape) == (2, 2, 2, 2)
    assert conv_pads(Conv(4, 4, 5, 2, padding="same"), shape) == (1, 2, 2, 2)
    assert conv_pads(Conv(4, 4, 5, 2, padding="rows"), shape) == (2, 0, 2, 0)
    assert conv_pads(Conv(4, 4, 3, dilation=3), shape) == (3, 3, 3, 3)


@pytest.mark.parametrize(
    ("leaf", "shape", "output"),
    [
        (Conv(4, 6, 3, 2), (4, 7, 8), (6, 4, 4)),
        (Conv(4, 6, 3, 2, padding="same"), (4, 7, 8), (6, 4, 4)),
        (Conv(4, 6, 3, 2, padding="rows"), (4, 7, 10), (6, 4, 4)),
        (PAIR, (7, 8, 8), (11, 4, 4)),
        (Pad(2), (4, 7, 8), (4, 7, 12)),
        (BatchNorm(4), (4, 7, 8), (4, 7, 8)),
        (Activation("relu"), (4, 7, 8), (4, 7, 8)),
        (SqueezeExcite(Conv(4, 1), Conv(1, 4), "relu"), (4, 7, 8), (4, 7, 8)),
        (GlobalPool(), (4, 7, 8), (4, 1, 1)),
        (Linear(4, 10), (4, 1, 1), (10, 1, 1)),
    ],
)
def test_output_shapes(leaf, shape, output):
    assert out_shape(leaf, shape) == output


@pytest.mark.parametrize(
    "leaf",
    [Conv(4, 6), PAIR, BatchNorm(4), Linear(4, 2), SqueezeExcite(Conv(4, 1), Conv(1, 4), "relu")],
)
def test_other_channels_are_refused(leaf):
    with pytest.raises(ValueError, match=r"expects \d channels, but its input has 5"):
        out_shape(leaf, (5, 8, 8))


def test_channels_and_elements():
    assert conv_channels(Conv(4, 6)) == (4, 6)
    assert conv_channels(PAIR) == (7, 11)
    assert elements((3, 4, 5)) == 60


def branch(*channels):
    parts = [(f"conv{i}", Conv(a, b)) for i, (a, b) in enumerate(pairwise(channels))]
    return (*parts, ("norm", BatchNorm(channels[-1])))


def test_walk_yields_leaves_in_order_with_paths_and_shapes():
    tree = Seq((("stem", Conv(3, 4, 3, 2)), ("block", Residual(branch(4, 8, 4)))))
    layers = list(walk(tree, (3, 8, 8)))
    assert [layer.path for layer in layers] == ["stem", "block.conv0", "block.conv1", "block.norm"]
    assert [layer.in_shape for layer in layers][1:] == [layer.out_shape for layer in layers][:-1]
    assert [layer.out_shape[0] for layer in layers] == [4, 8, 4, 4]
    assert next(walk(tree, (3, 8, 8), "net")).path == "net.stem"


def test_a_residual_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"residual 'b' adds shapes \(4, 8, 8\) and \(6, 8, 8\)"):
        list(walk(Seq((("b", Residual(branch(4, 6))),)), (4, 8, 8)))


def test_residual_ends_are_the_last_normalizations_of_branches():
    inner = Residual((("a", BatchNorm(4)), ("b", Seq((("norm", BatchNorm(4)),)))))
    tree = Seq((("first", Seq(branch(4, 4))), ("second", Residual((("inner", inner),)))))
    assert residual_ends(tree) == {"second.inner.b.norm"}
    tree = Seq((("x", Residual((("inner", inner), ("last", BatchNorm(4))))),))
    assert residual_ends(tree) == {"x.inner.b.norm", "x.last"}
    assert residual_ends(BatchNorm(4)) == set()


def test_dotted_names_become_nested_children():
    one, two, three = Conv(1, 1), Conv(1, 1), Conv(1, 1)
    tree = nested(Residual((("a.b.c", one), ("d", two), ("a.e", three))))
    assert isinstance(tree, Residual)
    (a, inner), (d, kept) = tree.children
    assert (a, d, kept) == ("a", "d", two)
    (b, innermost), (e, last) = inner.children
    assert (b, e, last) == ("b", "e", three)
    assert innermost.children == (("c", one),)
    assert nested(one) is one


def test_nodes_compare_by_identity():
    assert Conv(1, 1) != Conv(1, 1)
