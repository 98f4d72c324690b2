"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import Rules, SplitAttentionBlock
from nas.ir import SplitAttention, walk
from tests.blocks.residual.resnets import DEEP_STEM, body, whole


@pytest.mark.parametrize(
    ("depths", "expected"),
    [
        ((1, 1, 1, 1), (10_611_688, 2_749_405_184, 7_328_096)),
        ((2, 2, 2, 2), (17_069_448, 3_623_391_232, 9_964_736)),
        ((3, 4, 6, 3), (27_483_240, 5_371_160_576, 14_359_776)),
    ],
    ids=["resnest14d", "resnest26d", "resnest50d"],
)
def test_costs_of_resnests(depths, expected):
    found = body(lambda _, c, stride: SplitAttentionBlock(c, stride, shortcut="pool"), depths)
    assert whole(found, DEEP_STEM) == expected


def test_the_attention_weighs_groups_of_one_convolution():
    tree = SplitAttentionBlock(64, 2).expand(64, Rules())
    layers = {layer.path: layer for layer in walk(tree, (64, 8, 8))}
    conv = layers["add.branch.middle.conv"]
    assert (conv.leaf.groups, conv.out_shape) == (2, (32, 8, 8))
    attention = layers["add.branch.middle.attention"]
    assert isinstance(attention.leaf, SplitAttention)
    assert (attention.out_shape, attention.leaf.reduce.out_channels) == ((16, 8, 8), 32)
    assert layers["add.branch.pool"].out_shape == (16, 4, 4)


def test_the_radix_divides_the_channels():
    with pytest.raises(ValueError, match="radix 3 does not divide the 16 channels"):
        SplitAttentionBlock(64, radix=3).expand(64, Rules())
