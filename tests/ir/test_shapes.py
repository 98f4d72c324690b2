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
    Slices,
    SqueezeExcite,
    Sum,
    conv_channels,
    conv_pads,
    elements,
    end_shape,
    input_channels,
    out_shape,
    same_pads,
)

PAIR = MixConv((Conv(4, 6, 3, 2), Conv(3, 5, 5, 2)))


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
    assert conv_pads(Conv(4, 4, 5, 2, padding=(2, 0, 1, 0)), shape) == (2, 0, 1, 0)
    assert conv_pads(Conv(4, 4, 3, dilation=3), shape) == (3, 3, 3, 3)


@pytest.mark.parametrize(
    ("leaf", "shape", "output"),
    [
        (Conv(4, 6, 3, 2), (4, 7, 8), (6, 4, 4)),
        (Conv(4, 6, 3, 2, padding="same"), (4, 7, 8), (6, 4, 4)),
        (Conv(4, 6, 3, 2, padding=(1, 0, 1, 0)), (4, 7, 10), (6, 4, 4)),
        (Conv(4, 6, 4, padding=(2, 1, 1, 0), dilation=2, columns=3), (4, 7, 8), (6, 4, 5)),
        (PAIR, (7, 8, 8), (11, 4, 4)),
        (Pad((1, 2, 3, 4)), (4, 7, 8), (4, 11, 14)),
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


SPLIT = Slices(
    (("0", Conv(4, 6, 3, 2)), ("1", Sum((("a", Conv(3, 5, 5, 2)), ("b", Conv(3, 5, 3, 2))))))
)


def test_trees_that_begin_with_a_convolution_know_their_channels():
    assert input_channels(PAIR) == 7
    assert input_channels(SPLIT) == 7
    assert input_channels(Seq((("conv", Conv(5, 2)), ("act", Activation("relu"))))) == 5
    with pytest.raises(ValueError, match="Activation takes any number of channels"):
        input_channels(Seq((("act", Activation("relu")), ("conv", Conv(5, 2)))))


def test_the_end_of_a_tree():
    assert end_shape(SPLIT, (7, 8, 8)) == (11, 4, 4)
    tree = Seq((("branches", SPLIT), ("last", Residual((("conv", Conv(11, 11)),)))))
    assert end_shape(tree, (7, 8, 8)) == (11, 4, 4)
    assert end_shape(GlobalPool(), (7, 8, 8)) == (7, 1, 1)
