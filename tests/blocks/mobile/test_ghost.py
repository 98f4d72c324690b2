"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import GhostBlock, Rules
from nas.blocks.parts import make_divisible
from nas.cost.count import tally
from nas.ir import walk

# Kernel, channels in the middle, output channels, SE ratio, stride: table 1 of the paper.
ROWS = [
    (3, 16, 16, 0, 1),
    (3, 48, 24, 0, 2),
    (3, 72, 24, 0, 1),
    (5, 72, 40, 0.25, 2),
    (5, 120, 40, 0.25, 1),
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 0.25, 1),
    (3, 672, 112, 0.25, 1),
    (5, 672, 160, 0.25, 2),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (0.5, (2_587_292, 42_328_152, 1_772_840)),
        (1.0, (5_182_508, 141_150_512, 3_544_396)),
        (1.3, (7_358_820, 227_003_256, 4_595_252)),
    ],
)
def test_costs_of_ghostnets(width, expected):
    stem = before = make_divisible(16 * width, 4)
    blocks = []
    for kernel, mid, channels, se_ratio, stride in ROWS:
        out, wide = make_divisible(channels * width, 4), make_divisible(mid * width, 4)
        ratio = wide / before
        blocks.append(
            GhostBlock(
                out,
                stride,
                kernels=(kernel,),
                expansion=int(ratio) if ratio.is_integer() else ratio,
                se_ratio=se_ratio,
            )
        )
        before = out
    found = tally(blocks, Rules(), (stem, 112, 112))
    head = make_divisible(960 * width, 4)
    weights, hidden = before * head, head * 1280
    params = found.params + 29 * stem + weights + 2 * head + hidden + 1280 + 1_281_000
    madds = found.madds + 27 * stem * 112**2 + weights * 49 + hidden + 1_280_000
    outputs = found.activations + stem * 112**2 + head * 49 + 1280
    assert (params, madds, outputs) == expected


def test_half_of_the_channels_are_kept_and_the_others_are_made_of_them():
    tree = GhostBlock(16, expansion=2).expand(16, Rules())
    layers = {layer.path: layer for layer in walk(tree, (16, 8, 8))}
    assert layers["ghost1.primary.conv"].out_shape == (16, 8, 8)
    assert layers["ghost1.ghosts.cheap.conv"].in_shape == (16, 8, 8)
    assert layers["ghost2.primary.conv"].in_shape == (32, 8, 8)
    assert "ghost2.ghosts.cheap.act" not in layers


def test_odd_channels_are_refused():
    with pytest.raises(ValueError, match="computes half of its channels; 15 is odd"):
        GhostBlock(15).expand(16, Rules())
