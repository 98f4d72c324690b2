"""The numbers of ShuffleNetV2 are torchvision's (0.28.0), counted from its modules."""

import pytest

from nas.blocks import Rules, ShuffleBlock, ShuffleV2Block
from nas.cost.count import tally
from nas.ir import ChannelShuffle, walk


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ((48, 96, 192, 1024), (1_366_792, 40_476_448, 1_023_904)),
        ((116, 232, 464, 1024), (2_278_604, 144_907_992, 1_950_200)),
        ((176, 352, 704, 1024), (3_503_624, 295_759_392, 2_767_520)),
        ((244, 488, 976, 2048), (7_393_996, 583_253_464, 3_743_992)),
    ],
    ids=["x0.5", "x1.0", "x1.5", "x2.0"],
)
def test_costs_of_shufflenetv2(widths, expected):
    blocks = [
        ShuffleV2Block(channels, 1 if i else 2)
        for channels, depth in zip(widths[:3], (4, 8, 4), strict=True)
        for i in range(depth)
    ]
    found = tally(blocks, Rules(), (24, 56, 56))
    head = widths[2] * widths[3]
    params = found.params + 24 * 29 + head + 2 * widths[3] + 1000 * widths[3] + 1000
    madds = found.madds + 24 * 27 * 112**2 + head * 49 + 1000 * widths[3]
    outputs = found.activations + 24 * 112**2 + 49 * widths[3]
    assert (params, madds, outputs) == expected


def test_one_half_passes_unchanged_at_stride_one():
    layers = list(walk(ShuffleV2Block(16).expand(16, Rules()), (16, 8, 8)))
    assert layers[0].path == "halves.branch.reduce.conv"
    assert layers[0].in_shape == (8, 8, 8)
    assert isinstance(layers[-1].leaf, ChannelShuffle)
    assert layers[-1].out_shape == (16, 8, 8)


def test_both_halves_see_the_whole_input_at_stride_two():
    layers = {
        layer.path: layer for layer in walk(ShuffleV2Block(16, 2).expand(10, Rules()), (10, 8, 8))
    }
    assert layers["halves.shortcut.depthwise.conv"].in_shape == (10, 8, 8)
    assert layers["halves.branch.reduce.conv"].in_shape == (10, 8, 8)
    assert layers["shuffle"].out_shape == (16, 4, 4)


def test_costs_of_a_shufflenet_unit():
    """From 240 to 240 channels with 3 groups: 60 in the middle (the paper's table 1, stage 2)."""
    found = tally([ShuffleBlock(240)], Rules(), (240, 28, 28))
    weights = 240 * 60 // 3 + 9 * 60 + 60 * 240 // 3
    assert found.params == weights + 2 * (60 + 60 + 240)
    assert found.madds == weights * 28 * 28


def test_a_stride_concatenates_the_averaged_input():
    layers = {
        layer.path: layer
        for layer in walk(ShuffleBlock(240, 2, reduce_groups=1).expand(24, Rules()), (24, 56, 56))
    }
    assert layers["join.shortcut"].out_shape == (24, 28, 28)
    assert layers["join.branch.expand.norm"].out_shape == (216, 28, 28)
    assert layers["act"].out_shape == (240, 28, 28)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (ShuffleV2Block(15, 2), "two equal halves; 15 is odd"),
        (ShuffleV2Block(18), "keeps its 16 channels; found 18"),
        (ShuffleBlock(24), "keeps its 16 channels; found 24"),
        (ShuffleBlock(12, 2), "more channels than its 16 input channels; found 12"),
        (ShuffleBlock(16), "3 groups do not divide 4 channels in the middle"),
    ],
)
def test_blocks_that_cannot_be_built(block, problem):
    with pytest.raises(ValueError, match=problem):
        block.expand(16, Rules())
