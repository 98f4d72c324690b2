import pytest

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
    MixConv,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    branch_inputs,
    conv_channels,
    conv_pads,
    elements,
    end_shape,
    input_channels,
    joined,
    out_shape,
    pool_pads,
    same_pads,
    slice_sizes,
)

SPLIT_ATTENTION = SplitAttention(3, 2, Conv(3, 2), BatchNorm(2), "relu", Conv(2, 6))
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
        (Linear(4 * 7 * 8, 10), (4, 7, 8), (10, 1, 1)),
        (LayerNorm(4), (4, 7, 8), (4, 7, 8)),
        (Scale(4), (4, 7, 8), (4, 7, 8)),
        (LocalResponseNorm(), (4, 7, 8), (4, 7, 8)),
        (Dropout(), (4, 7, 8), (4, 7, 8)),
        (ChannelShuffle(2), (4, 7, 8), (4, 7, 8)),
        (SPLIT_ATTENTION, (6, 7, 8), (3, 7, 8)),
        (Linear(4, 10), (4, 1, 1), (10, 1, 1)),
    ],
)
def test_output_shapes(leaf, shape, output):
    assert out_shape(leaf, shape) == output


@pytest.mark.parametrize(
    "leaf",
    [
        Conv(4, 6),
        PAIR,
        BatchNorm(4),
        LayerNorm(4),
        Scale(4),
        SqueezeExcite(Conv(4, 1), Conv(1, 4), "relu"),
        SPLIT_ATTENTION,
    ],
)
def test_other_channels_are_refused(leaf):
    with pytest.raises(ValueError, match=r"expects \d channels, but its input has 5"):
        out_shape(leaf, (5, 8, 8))


def test_a_linear_layer_takes_all_features_of_a_map():
    with pytest.raises(ValueError, match="expects 4 features, but its input has 16"):
        out_shape(Linear(4, 2), (4, 2, 2))


def test_channels_that_cannot_be_shuffled_are_refused():
    with pytest.raises(ValueError, match="5 channels cannot be shuffled in 2 groups"):
        out_shape(ChannelShuffle(2), (5, 8, 8))


@pytest.mark.parametrize(
    "leaf", [Pool("max", 3, padding=(0, 0, 0, 0)), Conv(4, 4, 3, padding=(0,) * 4)]
)
def test_a_window_that_does_not_fit_is_refused(leaf):
    with pytest.raises(ValueError, match="does not fit into its input of 8x2 pixels"):
        out_shape(leaf, (4, 8, 2))


# torch's documentation of MaxPool2d: floor or ceil of (size + 2 * padding - kernel) / stride, plus
# 1, and no window that begins in the padding on the right.
@pytest.mark.parametrize(
    ("pool", "size", "pads", "output"),
    [
        (Pool("max", 3, 2), 8, (1, 1), 4),
        (Pool("max", 3, 2), 7, (1, 1), 4),
        (Pool("max", 3, 2, ceil=True), 8, (1, 2), 5),  # the last window begins at pixel 7
        (Pool("max", 3, 2, ceil=True), 7, (1, 1), 4),
        (Pool("max", 2, 2), 7, (0, 0), 3),
        (Pool("max", 2, 2, ceil=True), 7, (0, 1), 4),
        (Pool("max", 3, 2, (0, 0, 0, 0)), 8, (0, 0), 3),
        (Pool("max", 3, 2, (0, 0, 0, 0), ceil=True), 8, (0, 1), 4),
        (Pool("average", 3, 3, (1, 1, 1, 1), ceil=True), 5, (1, 1), 2),  # one more would begin at 5
        (Pool("average", 2, 2, (1, 1, 0, 0), ceil=True), 4, (1, 1), 3),
        (Pool("max", 1, 3, ceil=True), 5, (0, 0), 2),  # one more would begin at 6
        (Pool("max", 3, 2, "same"), 8, (0, 1), 4),
        (Pool("max", 2, 2, "same"), 7, (0, 1), 4),
        (Pool("average", 2, 1, "same"), 7, (0, 1), 7),
        (Pool("max", 1, 2, "same", ceil=True), 8, (0, 0), 4),
        (Pool("max", 5), 1, (2, 2), 1),
        (Pool("max", 4), 7, (1, 1), 6),
    ],
)
def test_pooling_along_an_axis(pool, size, pads, output):
    assert pool_pads(pool, (3, size, size)) == (*pads[:1] * 2, *pads[1:] * 2)
    assert out_shape(pool, (3, size, size)) == (3, output, output)


def test_pooling_pads_rows_and_columns_by_their_own_sizes():
    pool = Pool("max", 3, 2, (1, 0, 0, 1), ceil=True)
    assert pool_pads(pool, (4, 7, 8)) == (1, 0, 1, 1)
    assert out_shape(pool, (4, 7, 8)) == (4, 4, 4)
    assert pool_pads(Pool("max", 3, 2, "same"), (4, 7, 8)) == (1, 0, 1, 1)


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


def test_slices_tell_their_sizes_or_begin_with_layers_that_do():
    identity = Seq(())
    assert slice_sizes(SPLIT) == (4, 3)
    assert slice_sizes(Slices((("0", identity), ("1", Conv(3, 5))), (2, 3))) == (2, 3)
    assert slice_sizes(Cascade((("0", BatchNorm(2)), ("1", SPLIT_ATTENTION)))) == (2, 6)
    assert input_channels(Cascade((("0", identity), ("1", Conv(3, 3))), (3, 3))) == 6
    assert input_channels(Concat((("0", Scale(4)), ("1", identity)))) == 4
    with pytest.raises(ValueError, match="Seq takes any number of channels"):
        slice_sizes(Slices((("0", Conv(3, 5)), ("1", identity))))


def test_branches_begin_with_the_input_or_with_slices_of_it():
    children = (("0", Conv(2, 2)), ("1", Conv(3, 3)))
    assert branch_inputs(Slices(children), (5, 8, 7)) == [(2, 8, 7), (3, 8, 7)]
    assert branch_inputs(Concat(children), (5, 8, 7)) == [(5, 8, 7)] * 2


def test_joined_outputs():
    inputs, ends = [(3, 8, 8)] * 2, [(4, 4, 4), (2, 4, 4)]
    children = (("0", Conv(3, 4, stride=2)), ("1", Conv(3, 2, stride=2)))
    assert joined(Concat(children), inputs, ends) == (6, 4, 4)
    assert joined(Slices(children), inputs, ends) == (6, 4, 4)
    assert joined(Sum(children), inputs, ends[:1] * 2) == (4, 4, 4)
    with pytest.raises(ValueError, match="the branches of 'x' have outputs of different shapes"):
        joined(Sum(children), inputs, ends, "x")
    with pytest.raises(ValueError, match="the cascade 'x' must keep one shape"):
        joined(Cascade(children), inputs, ends, "x")
    with pytest.raises(ValueError, match="the cascade 'x' must keep one shape"):
        joined(Cascade(children), [(3, 4, 4), (2, 4, 4)], [(3, 4, 4), (2, 4, 4)], "x")
    assert joined(Cascade(children), inputs, inputs) == (6, 8, 8)


def test_the_end_of_a_tree():
    assert end_shape(Seq(()), (7, 8, 8)) == (7, 8, 8)
    assert end_shape(Concat((("0", Conv(7, 3)), ("1", Seq(())))), (7, 8, 8)) == (10, 8, 8)
    assert end_shape(SPLIT, (7, 8, 8)) == (11, 4, 4)
    tree = Seq((("branches", SPLIT), ("last", Residual((("conv", Conv(11, 11)),)))))
    assert end_shape(tree, (7, 8, 8)) == (11, 4, 4)
    assert end_shape(GlobalPool(), (7, 8, 8)) == (7, 1, 1)
