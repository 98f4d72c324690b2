"""The numbers are timm's (1.0.31), counted from its modules."""

import pytest

from nas.blocks import ConvBlock, DarknetBlock, Rules
from nas.cost.count import tally
from nas.ir import Residual, Seq


@pytest.mark.parametrize(
    ("depths", "size", "expected"),
    [
        ((1, 2, 8, 8, 4), 224, (41_609_928, 7_109_156_864, 9_483_264)),
        ((1, 2, 8, 8, 4), 256, (41_609_928, 9_285_115_904, 12_386_304)),
        ((1, 1, 1, 2, 2), 224, (20_863_048, 2_998_738_944, 5_720_064)),
    ],
    ids=["darknet53", "darknet53 at 256", "darknet21"],
)
def test_costs_of_darknets(depths, size, expected):
    blocks = []
    for i, depth in enumerate(depths):
        blocks.append(ConvBlock(64 << i, 2, activation="leaky_relu"))
        blocks += [DarknetBlock(64 << i)] * depth
    found = tally(blocks, Rules(), (32, size, size))
    stem = 27 * 32
    params = found.params + stem + 64 + 1_025_000
    madds = found.madds + stem * size**2 + 1_024_000
    assert (params, madds, found.activations + 32 * size**2) == expected


def test_the_skip_needs_equal_shapes():
    kinds = [
        type(DarknetBlock(16, stride, skip=skip).expand(channels, Rules()))
        for channels, stride, skip in (
            (16, 1, True),
            (16, 1, False),
            (16, 2, True),
            (8, 1, True),
        )
    ]
    assert kinds == [Residual, Seq, Seq, Seq]
