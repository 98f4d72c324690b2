"""The numbers are torchvision's (0.28.0), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import Fire, Rules
from nas.cost.count import tally
from nas.ir import walk


def test_costs_of_squeezenet_1_1():
    stages = [(55, (128, 128)), (27, (256, 256)), (13, (384, 384, 512, 512))]
    params, madds, outputs = 28 * 64, 27 * 64 * 111**2, 64 * 111**2
    before = 64
    for size, widths in stages:
        found = tally([Fire(width) for width in widths], Rules(), (before, size, size))
        params, madds = params + found.params, madds + found.madds
        outputs += found.activations
        before = widths[-1]
    assert params + 513_000 == 1_235_496
    assert madds + 512_000 * 13**2 == 349_151_936
    assert outputs + 1000 * 13**2 == 2_589_352


def test_both_halves_see_the_squeezed_channels():
    layers = {layer.path: layer for layer in walk(Fire(64).expand(16, Rules()), (16, 8, 8))}
    assert layers["expand.one.conv"].in_shape == layers["expand.three.conv"].in_shape == (8, 8, 8)
    assert layers["expand.three.conv"].leaf.kernel == 3
    assert layers["squeeze.conv"].leaf.bias


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (Fire(64, 2), "a fire module has stride 1; put a pool block before it"),
        (Fire(63), "two equal halves; 63 is odd"),
    ],
)
def test_blocks_that_cannot_be_built(block, problem):
    with pytest.raises(ValueError, match=problem):
        block.expand(16, Rules())
