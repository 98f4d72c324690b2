"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import ConvBlock, Rules, UniversalBlock
from nas.cost.count import tally
from nas.ir import Conv, walk


def block(start, middle, stride, ratio, channels):
    return UniversalBlock(
        channels,
        stride,
        start_kernels=(start,) if start else (),
        kernels=(middle,) if middle else (),
        expansion=ratio,
    )


# Rows of table 11 of the paper: kernels at the start and in the middle, stride, ratio, channels.
SMALL = [
    (5, 5, 2, 3, 96),
    *[(0, 3, 1, 2, 96)] * 4,
    (3, 0, 1, 4, 96),
    (3, 3, 2, 6, 128),
    (5, 5, 1, 4, 128),
    (0, 5, 1, 4, 128),
    (0, 5, 1, 3, 128),
    *[(0, 3, 1, 4, 128)] * 2,
]


def test_costs_of_mobilenetv4_conv_small():
    convs = [
        ConvBlock(channels, stride, kernels=(kernel,))
        for channels, stride, kernel in ((32, 2, 3), (32, 1, 1), (96, 2, 3), (64, 1, 1))
    ]
    blocks = [*convs, *(block(*row) for row in SMALL), ConvBlock(960, kernels=(1,))]
    found = tally(blocks, Rules(), (32, 112, 112))
    stem, hidden = 27 * 32, 960 * 1280
    assert found.params + stem + 64 + hidden + 2560 + 1_281_000 == 3_774_024
    assert found.madds + stem * 112**2 + hidden + 1_280_000 == 186_005_568
    assert found.activations + 32 * 112**2 + 1280 == 1_964_416


@pytest.mark.parametrize(
    ("kernels", "strides"),
    [
        (((3,), (5,), ()), [1, 1, 2, 1]),
        (((3,), (), ()), [2, 1, 1]),
        (((), (), (5,)), [1, 1, 2]),
        (((), (), ()), [2, 1]),
    ],
)
def test_one_layer_has_the_stride(kernels, strides):
    start, middle, end = kernels
    made = UniversalBlock(16, 2, start_kernels=start, kernels=middle, end_kernels=end)
    layers = list(walk(made.expand(8, Rules()), (8, 8, 8)))
    assert [layer.leaf.stride for layer in layers if isinstance(layer.leaf, Conv)] == strides
    assert layers[-1].out_shape == (16, 4, 4)


def test_activations_follow_the_expansion_and_the_layer_after_it():
    made = UniversalBlock(16, start_kernels=(3,), kernels=(5,), end_kernels=(3,))
    acts = [
        layer.path for layer in walk(made.expand(16, Rules()), (16, 8, 8)) if "act" in layer.path
    ]
    assert acts == ["expand.act", "depthwise.act"]
