"""The numbers are torchvision's (0.28.0), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import ConvBlock, Inception, Rules
from nas.cost.count import tally
from nas.ir import walk

# Table 1 of the paper: output channels of the branches, and channels in front of two of them.
ROWS = {
    28: [((64, 128, 32, 32), (96, 16)), ((128, 192, 96, 64), (128, 32))],
    14: [
        ((192, 208, 48, 64), (96, 16)),
        ((160, 224, 64, 64), (112, 24)),
        ((128, 256, 64, 64), (128, 24)),
        ((112, 288, 64, 64), (144, 32)),
        ((256, 320, 128, 128), (160, 32)),
    ],
    7: [((256, 320, 128, 128), (160, 32)), ((384, 384, 128, 128), (192, 48))],
}


def test_costs_of_googlenet():
    convs = tally([ConvBlock(64, kernels=(1,)), ConvBlock(192)], Rules(), (64, 56, 56))
    params, madds = 149 * 64 + convs.params, 147 * 64 * 112**2 + convs.madds
    outputs, before = 64 * 112**2 + convs.activations, 192
    for size, rows in ROWS.items():
        blocks = [
            Inception(sum(branches), branches=branches, reduced=reduced, kernels=(3, 3))
            for branches, reduced in rows
        ]
        found = tally(blocks, Rules(), (before, size, size))
        params, madds = params + found.params, madds + found.madds
        outputs, before = outputs + found.activations, blocks[-1].channels
    assert params + 1_025_000 == 6_624_904
    assert madds + 1_024_000 == 1_498_376_192
    assert outputs == 3_226_160


def test_branches():
    block = Inception(256, branches=(64, 128, 32, 32))
    layers = {layer.path: layer for layer in walk(block.expand(192, Rules()), (192, 8, 8))}
    assert layers["two.conv.conv"].leaf.kernel == 3
    assert layers["three.conv.conv"].leaf.kernel == 5
    assert layers["pool.pool"].out_shape == (192, 8, 8)
    assert layers["pool.project.conv"].out_shape == (32, 8, 8)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (Inception(256, 2), "has stride 1; put a pool block before it"),
        (Inception(255), "have 256 channels altogether; found 255"),
    ],
)
def test_modules_that_cannot_be_built(block, problem):
    with pytest.raises(ValueError, match=problem):
        block.expand(192, Rules())
