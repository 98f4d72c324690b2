"""The numbers are timm's (1.0.31, `legacy_xception`), counted from its modules."""

from nas.blocks import Rules, SeparableConv, XceptionBlock
from nas.cost.count import tally
from nas.ir import Pool, Residual, walk


def test_costs_of_xception():
    blocks = [
        XceptionBlock(128, 2, repeats=2, first_activation=False),
        XceptionBlock(256, 2, repeats=2),
        XceptionBlock(728, 2, repeats=2),
        *[XceptionBlock(728)] * 8,
        XceptionBlock(1024, 2, repeats=2, widen="last"),
        SeparableConv(1536),
        SeparableConv(2048),
    ]
    for size, after, madds, outputs in (
        (224, (111, 109), 4_552_879_072, 19_660_320),
        (299, (149, 147), 8_357_403_496, 35_824_968),
    ):
        found = tally(blocks, Rules(), (64, after[1], after[1]))
        stem = (27 * 32, 288 * 64)
        assert found.params + sum(stem) + 192 + 2_049_000 == 22_855_952, size
        stems = stem[0] * after[0] ** 2 + stem[1] * after[1] ** 2
        assert found.madds + stems + 2_048_000 == madds
        assert found.activations + 32 * after[0] ** 2 + 64 * after[1] ** 2 == outputs


def paths(block, channels):
    return [layer.path for layer in walk(block.expand(channels, Rules()), (channels, 8, 8))]


def test_the_first_activation_may_be_left_out():
    assert paths(XceptionBlock(8), 8)[0] == "act0"
    assert paths(XceptionBlock(8, first_activation=False), 8)[0] == "separable0.depthwise"


def test_channels_change_first_or_last():
    for widen, expected in (("first", [16, 16]), ("last", [8, 16])):
        tree = XceptionBlock(16, repeats=2, widen=widen).expand(8, Rules())
        layers = {layer.path: layer for layer in walk(tree, (8, 8, 8))}
        found = [layers[f"branch.separable{i}.norm"].out_shape[0] for i in (0, 1)]
        assert found == expected


def test_pooling_has_the_stride():
    tree = XceptionBlock(8, 2).expand(8, Rules())
    pools = [layer for layer in walk(tree, (8, 9, 9)) if isinstance(layer.leaf, Pool)]
    assert [(p.leaf.kind, p.leaf.kernel, p.out_shape) for p in pools] == [("max", 3, (8, 5, 5))]
    assert isinstance(XceptionBlock(8).expand(8, Rules()), Residual)


def test_a_separable_convolution_has_nothing_in_between():
    assert paths(SeparableConv(16), 8) == ["depthwise", "pointwise", "norm", "act"]
    assert paths(SeparableConv(16, activation="identity"), 8) == [
        "depthwise",
        "pointwise",
        "norm",
    ]
