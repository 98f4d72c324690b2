"""Amounts of work, computed by hand."""

import math

import pytest
from hypothesis import given, settings

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
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
    end_shape,
    walk,
)
from nas.latency.prediction.features import latency_features
from nas.lowering import MERGE_ALL, PHASED_SLICES, lowered_tree
from nas.spec import load_network
from tests.random_trees import trees


def work(node, shape, batch=1):
    """Return the work of one layer, without kinds that it has none of."""
    found = latency_features(Seq((("layer", node),)), shape, batch)
    return {kind: amount for kind, amount in found.items() if amount}


def test_features_are_sums_over_layers():
    spec = load_network("mobilenet_v1")
    tree = lowered_tree(spec.tree(), spec.in_shape)
    work = latency_features(tree, spec.in_shape)
    assert work["linear weights"] == 1024 * 1000
    assert work["pointwise madds"] == sum(
        c * d * s * s
        for c, d, s in [
            (32, 64, 112),
            (64, 128, 56),
            (128, 128, 56),
            (128, 256, 28),
            (256, 256, 28),
            (256, 512, 14),
            *[(512, 512, 14)] * 5,
            (512, 1024, 7),
            (1024, 1024, 7),
        ]
    )
    assert latency_features(tree, spec.in_shape, batch=4)["elements"] == 4 * work["elements"]


def test_pointwise_convolutions_compute_whole_blocks_of_channels():
    # 20 and 30 channels fill 32 each.
    assert work(Conv(20, 30), (20, 4, 5), batch=2) == {
        "pointwise madds": 32 * 32 * 20 * 2,
        "weights": 600,
        "elements": (400 + 600) * 2,
        "layers": 1,
    }


def test_dense_and_grouped_convolutions():
    dense = work(Conv(16, 16, 3, stride=2), (16, 8, 8))
    assert dense["dense madds"] == 9 * 16 * 16 * 16
    grouped = work(Conv(16, 32, 3, groups=4), (16, 8, 8))
    assert grouped["grouped madds"] == 9 * 4 * 32 * 64
    assert "weights" not in grouped


def test_large_and_dilated_depthwise_kernels_have_kinds_of_their_own():
    # One block of 16 channels on 6x6 outputs.
    def kinds(kernel, **more):
        found = work(Conv(16, 16, kernel, groups=16, **more), (16, 6, 6))
        return {k: v for k, v in found.items() if "over" in k or "dilated" in k}

    assert kinds(5) == {}
    assert kinds(7) == {"depthwise taps of kernels over 25": 16 * 36 * 49}
    assert kinds(9) == {
        "depthwise taps of kernels over 25": 16 * 36 * 81,
        "depthwise taps of kernels over 49": 16 * 36 * 81,
    }
    assert kinds(5, dilation=2) == {"dilated depthwise taps": 16 * 36 * 25}


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions(stride):
    found = work(Conv(20, 20, 5, stride=stride, groups=20), (20, 6, 6))
    side = 6 // stride
    outputs = 32 * side * side
    kinds = ("depthwise",) if stride == 1 else ("depthwise", "strided depthwise")
    expected = {}
    for kind in kinds:
        expected |= {
            f"{kind} outputs": outputs,
            f"{kind} rows of taps": 5 * outputs,
            f"{kind} taps": 25 * outputs,
        }
    # At most 4 outputs of a row reach over an edge, and there are no more than the row has.
    expected["edge taps"] = 32 * side * min(side, 4) * 5
    expected |= {"elements": 20 * (36 + side * side), "layers": 1}
    assert found == expected


def test_convolutions_without_columns_of_padding_have_no_edges():
    assert "edge taps" not in work(Conv(8, 8, 3, groups=8, padding=(1, 0, 1, 0)), (8, 6, 8))


def test_mixed_convolutions_copy_their_slices():
    mix = MixConv((Conv(4, 4, 3, groups=4), Conv(4, 4, 5, groups=4)))
    found = work(mix, (8, 5, 5))
    assert found["copied elements"] == found["elements"] == 400
    assert found["layers"] == 2
    assert found["depthwise taps"] == 16 * 25 * (9 + 25)


def test_other_layers():
    se = SqueezeExcite(Conv(12, 3), Conv(3, 12), "relu")
    assert work(se, (12, 5, 5)) == {
        "gated elements": 300,
        "gate weights": 72,
        "gates": 1,
        "elements": 600,
    }
    assert work(Activation("swish"), (12, 5, 5), batch=2) == {"swish elements": 600}
    assert work(Pad((0, 2, 0, 2)), (12, 5, 5)) == {"padded elements": 12 * 5 * 9, "layers": 1}
    assert work(BatchNorm(12), (12, 5, 5)) == {"normalised elements": 300}
    assert work(GlobalPool(), (12, 5, 5)) == {"pooled elements": 300}
    assert work(Linear(12, 7), (12, 1, 1), batch=4) == {"linear weights": 84}


def test_elements_beyond_the_caches():
    small, large = 1 << 17, 1 << 19
    # A convolution of 32 channels that reads and writes 64 elements a pixel.
    found = work(Conv(32, 32), (32, 1, 8192))
    assert found["elements"] == large
    assert found[f"elements beyond {small}"] == large - small
    assert f"elements beyond {large}" not in found
    assert f"elements beyond {small}" not in work(Conv(32, 32), (32, 1, 2048))


def test_residual_sums_are_counted_with_nested_ones():
    inner = Residual((("act", Activation("relu")),))
    tree = Seq((("down", Conv(4, 4, 3, stride=2)), ("outer", Residual((("inner", inner),)))))
    assert latency_features(tree, (4, 8, 8), batch=3)["skip elements"] == 3 * 2 * 4 * 16


@pytest.mark.parametrize("batch", [1, 4])
def test_elements_of_the_skips_of_mobilenet_v2(batch):
    spec = load_network("mobilenet_v2")
    found = latency_features(spec.tree(), spec.in_shape, batch=batch)["skip elements"]
    # 56x56x24, 2 of 28x28x32, 3 of 14x14x64, 2 of 14x14x96 and 2 of 7x7x160
    assert found == 216_384 * batch


@pytest.mark.parametrize(
    ("kernel", "width", "edges"), [(9, 3, 3), (9, 8, 8), (9, 9, 8), (9, 20, 8), (3, 20, 2)]
)
def test_columns_at_the_edges(kernel, width, edges):
    found = work(Conv(16, 16, kernel, groups=16), (16, 5, width), batch=2)
    assert found["edge taps"] == 16 * 2 * 5 * edges * kernel


def test_channels_are_counted_in_blocks_of_sixteen():
    for channels, padded in ((1, 16), (16, 16), (17, 32), (32, 32), (33, 48)):
        assert work(Conv(channels, 16), (channels, 1, 1))["pointwise madds"] == padded * 16
        assert work(Conv(16, channels), (16, 1, 1))["pointwise madds"] == padded * 16


def test_batches_multiply_work_but_not_weights():
    layers = (
        Conv(20, 30, 3, bias=True),
        Conv(20, 20, 3, groups=20),
        Conv(20, 40, 3, groups=5),
        MixConv((Conv(8, 8, 3, groups=8), Conv(12, 12, 5, groups=12))),
        SqueezeExcite(Conv(20, 5), Conv(5, 20), "relu"),
        Activation("swish"),
        Pad((0, 1, 0, 1)),
        BatchNorm(20),
        GlobalPool(),
    )
    fixed = {"weights", "gate weights", "layers", "gates"}
    for layer in layers:
        one, five = (work(layer, (20, 7, 7), batch) for batch in (1, 5))
        assert five == {k: amount * (1 if k in fixed else 5) for k, amount in one.items()}


def test_a_residual_adds_its_input():
    # The branch has more channels inside; what is added has as many elements as the input.
    branch = (("expand", Conv(4, 24)), ("project", Conv(24, 4)))
    tree = Seq((("block", Residual(branch)), ("block2", Residual(branch))))
    assert latency_features(tree, (4, 3, 5))["skip elements"] == 2 * 4 * 3 * 5


def test_weights_are_those_of_all_taps():
    assert work(Conv(20, 30, 3), (20, 4, 4))["weights"] == 9 * 20 * 30
    assert work(Conv(20, 30, 3), (20, 4, 4))["dense madds"] == 9 * 32 * 32 * 16
    assert "weights" not in work(Conv(20, 20, 3, groups=20), (20, 4, 4))


def test_the_bounds_of_the_caches():
    # A gate reads its input twice: 600,000 elements.
    se = SqueezeExcite(Conv(3, 1), Conv(1, 3), "relu")
    found = work(se, (3, 100, 1000))
    assert found["elements"] == 600_000
    assert found["elements beyond 131072"] == 600_000 - 131_072
    assert found["elements beyond 524288"] == 600_000 - 524_288


# -- layers of other families, and containers -----------------------------------------------------

MOVED = 2 * 12 * 25  # elements that a layer of 12 channels on 5x5 pixels reads and writes


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        (LayerNorm(12), "layer-normalised elements"),
        (LocalResponseNorm(), "response-normalised elements"),
        (ChannelShuffle(3), "copied elements"),
    ],
)
def test_layers_that_keep_the_shape(leaf, kind):
    assert work(leaf, (12, 5, 5)) == {kind: 300, "elements": MOVED, "layers": 1}


def test_pooling_reads_all_pixels_of_its_windows():
    # 3x3 windows at 3x3 places of 12 channels.
    assert work(Pool("max", 3, 2), (12, 5, 5), batch=2) == {
        "pooled elements": 2 * 12 * 9 * 9,
        "elements": 2 * 12 * (25 + 9),
        "layers": 1,
    }
    whole = work(Pool("average", 5, 1, (0, 0, 0, 0)), (12, 5, 5))
    assert whole["pooled elements"] == work(GlobalPool(), (12, 5, 5))["pooled elements"] == 300


def test_a_factor_costs_what_normalization_does_and_dropout_nothing():
    assert work(Scale(12), (12, 5, 5)) == work(BatchNorm(12), (12, 5, 5))
    assert work(Dropout(), (12, 5, 5)) == work(Seq(()), (12, 5, 5)) == {}


def test_linear_layers_read_all_pixels():
    assert work(Linear(12 * 25, 7), (12, 5, 5), batch=4) == {"linear weights": 12 * 25 * 7}


def test_split_attention_adds_its_groups_twice_and_gates_them():
    reduce, expand = Conv(12, 4, bias=True), Conv(4, 24, bias=True)
    for norm in (BatchNorm(4), None):
        found = work(SplitAttention(12, 2, reduce, norm, "relu", expand), (24, 5, 5), batch=3)
        assert found == {
            "skip elements": 3 * 2 * 300,
            "gated elements": 3 * 600,
            "gate weights": 12 * 4 + 4 * 24,
            "gates": 1,
            "elements": 3 * (2 * 600 + 300),
        }


def named(*children):
    return tuple((str(number), child) for number, child in enumerate(children))


RELU, IDENTITY = Activation("relu"), Seq(())


@pytest.mark.parametrize(
    ("node", "copied", "added"),
    [
        # The shape is 12 channels on 2x2 pixels: 48 elements.
        (Concat(named(RELU, IDENTITY, IDENTITY)), 3 * 48, 0),
        (Slices(named(IDENTITY, RELU), (4, 8)), 48 + 48, 0),
        (Cascade(named(IDENTITY, RELU, IDENTITY), (4, 4, 4)), 48 + 48, 2 * 16),
        (Sum(named(RELU, IDENTITY, IDENTITY)), 0, 2 * 48),
        (Sum(named(RELU)), 0, 0),
        (Residual(named(Concat(named(Slices(named(RELU, RELU), (4, 8)))))), 48 + 48 + 48, 48),
        (Concat(named(Residual(named(RELU)), Sum(named(RELU, RELU)))), 96, 48 + 48),
    ],
)
def test_what_containers_copy_and_add(node, copied, added):
    found = work(node, (12, 2, 2), batch=3)
    assert found.get("copied elements", 0) == 3 * copied
    assert found.get("skip elements", 0) == 3 * added


def test_slices_are_copied_however_they_are_written():
    convs = Conv(4, 4, 3, groups=4), Conv(8, 8, 5, groups=8)
    mix, slices = work(MixConv(convs), (12, 9, 9)), work(Slices(named(*convs)), (12, 9, 9))
    assert mix == slices
    # Sums of phases on slices, as lowering writes them.
    mix = MixConv((Conv(4, 4, 3, groups=4), Conv(8, 8, 9, groups=8)))
    tree = lowered_tree(Seq((("mix", mix),)), (12, 9, 9), PHASED_SLICES)
    assert isinstance(tree.children[0][1], Slices)
    found = latency_features(tree, (12, 9, 9))
    assert found["copied elements"] == 2 * 12 * 81
    assert found["skip elements"] == 3 * 8 * 81
    assert found["layers"] == 1 + 4


def test_a_row_of_taps_is_no_pointwise_convolution():
    found = work(Conv(16, 16, 1, padding=(0, 3, 0, 3), columns=7), (16, 8, 8))
    assert found["dense madds"] == 7 * 16 * 16 * 64
    assert "pointwise madds" not in found


@given(trees(), trees())
@settings(max_examples=60, deadline=None)
def test_work_is_finite_and_adds_up_over_layers_that_follow_each_other(first, second):
    (one, shape), (other, expected) = first, second
    middle = end_shape(one, shape)
    if middle != expected:  # a convolution and pooling to the shape that the other one takes
        fit = Seq(named(GlobalPool(), Conv(middle[0], expected[0])))
        fit = Seq((*fit.children, ("pad", Pad((0, 0, expected[1] - 1, expected[2] - 1)))))
        one = Seq(named(one, fit))
    whole = latency_features(Seq(named(one, other)), shape, 3)
    parts = latency_features(one, shape, 3), latency_features(other, expected, 3)
    assert whole.keys() == parts[0].keys() | parts[1].keys()
    for kind, amount in whole.items():
        assert amount == sum(part.get(kind, 0) for part in parts)
        assert math.isfinite(amount)
        assert amount >= 0


@given(trees())
@settings(max_examples=40, deadline=None)
def test_no_layer_of_a_lowered_tree_is_without_a_kind(drawn):
    tree, shape = drawn
    lowered = lowered_tree(tree, shape, MERGE_ALL)
    assert not any(isinstance(layer.leaf, Dropout) for layer in walk(lowered, shape))
    for layer in walk(lowered, shape):
        assert work(layer.leaf, layer.in_shape) or isinstance(layer.leaf, Flatten)
