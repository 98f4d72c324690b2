"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import DenseLayer, Rules, Transition
from nas.cost.count import tally
from nas.ir import walk


@pytest.mark.parametrize(
    ("depths", "expected"),
    [
        ((6, 12, 24, 16), (7_978_856, 2_834_161_664, 6_899_200)),
        ((6, 12, 32, 32), (14_149_480, 3_359_843_328, 7_300_608)),
    ],
    ids=["densenet121", "densenet169"],
)
def test_costs_of_densenets(depths, expected):
    blocks, channels = [], 64
    for i, depth in enumerate(depths):
        if i:
            channels //= 2
            blocks.append(Transition(channels, 2))
        for _ in range(depth):
            channels += 32
            blocks.append(DenseLayer(channels))
    found = tally(blocks, Rules(), (64, 56, 56))
    stem = 147 * 64
    params = found.params + stem + 128 + 2 * channels + 1001 * channels + 1000 - channels
    madds = found.madds + stem * 112**2 + 1000 * channels
    assert (params, madds, found.activations + 64 * 112**2) == expected


def test_the_input_is_kept():
    layers = list(walk(DenseLayer(24).expand(16, Rules()), (16, 8, 8)))
    assert [layer.path for layer in layers] == [
        "new.norm",
        "new.act",
        "new.reduce.conv",
        "new.reduce.norm",
        "new.reduce.act",
        "new.conv",
    ]
    assert layers[-1].in_shape == (32, 8, 8)
    assert layers[-1].out_shape == (8, 8, 8)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (DenseLayer(32, 2), "has stride 1; use a transition block"),
        (DenseLayer(16), "adds channels to its 16; found 16"),
    ],
)
def test_layers_that_cannot_be_built(block, problem):
    with pytest.raises(ValueError, match=problem):
        block.expand(16, Rules())
