import pytest

from nas.blocks import DSConv, MBConv, Rules
from nas.ir import walk


def test_se_ratio_is_of_the_blocks_input():
    tree = MBConv(channels=16, se_ratio=0.25).expand(16, Rules())
    (se,) = [layer.leaf for layer in walk(tree, (16, 8, 8)) if layer.path == "se"]
    assert (se.reduce.in_channels, se.reduce.out_channels) == (96, 4)


def se_of(block, channels):
    layers = walk(block.expand(channels, Rules()), (channels, 8, 8))
    return [layer.leaf for layer in layers if layer.path == "se"]


@pytest.mark.parametrize(
    ("channels", "ratio", "reduced"), [(16, 0.25, 4), (10, 0.25, 2), (3, 0.25, 1), (16, 1, 16)]
)
def test_squeezed_channels_are_rounded_down_to_at_least_one(channels, ratio, reduced):
    (se,) = se_of(DSConv(channels=8, se_ratio=ratio, activation="swish"), channels)
    assert (se.reduce.in_channels, se.reduce.out_channels) == (channels, reduced)
    assert (se.expand.in_channels, se.expand.out_channels) == (reduced, channels)
    assert se.reduce.bias
    assert se.expand.bias
    assert se.activation == "swish"


def test_without_a_ratio_there_is_no_se():
    assert se_of(DSConv(channels=8), 16) == []


def test_all_fields_reach_the_depthwise_convolution():
    block = MBConv(
        channels=16,
        stride=2,
        kernels=(3, 5, 7),
        split="exponential",
        group_width=2,
        expansion=1,
    )
    (mixed,) = [
        layer.leaf
        for layer in walk(block.expand(16, Rules(padding="same")), (16, 8, 8))
        if layer.path == "depthwise.conv"
    ]
    shapes = [(c.kernel, c.in_channels, c.groups, c.stride, c.padding) for c in mixed.convs]
    assert shapes == [(3, 8, 4, 2, "same"), (5, 4, 2, 2, "same"), (7, 4, 2, 2, "same")]


def test_what_se_is_relative_to():
    # 240 channels in the middle: a quarter of them is 60, to a multiple of 8 it is 64.
    bases = {"input": 10, "middle": 64, "exact_middle": 60}
    for base, reduced in bases.items():
        (se,) = se_of(MBConv(channels=40, expansion=6, se_ratio=0.25, se_base=base), 40)
        assert (se.reduce.in_channels, se.reduce.out_channels) == (240, reduced)
