"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import ConvNeXtBlock, Rules
from nas.cost.count import tally
from nas.ir import Conv, MixConv, walk


@pytest.mark.parametrize(
    ("depths", "width", "expected"),
    [
        ((2, 2, 6, 2), 40, (3_695_520, 547_332_480, 3_810_240)),
        ((2, 2, 6, 2), 48, (5_217_784, 779_629_824, 4_572_288)),
        ((2, 2, 6, 2), 64, (9_045_672, 1_367_055_360, 6_096_384)),
    ],
    ids=["atto", "femto", "pico"],
)
def test_costs_of_convnexts(depths, width, expected):
    blocks = [
        ConvNeXtBlock(width << stage, 2 if stage and not i else 1)
        for stage, depth in enumerate(depths)
        for i in range(depth)
    ]
    found = tally(blocks, Rules(), (width, 56, 56))
    last = width << 3
    params = found.params + 49 * width + 2 * width + 2 * last + 1000 * last + 1000
    madds = found.madds + 48 * width * 56**2 + 1000 * last
    assert (params, madds, found.activations + width * 56**2) == expected


def test_a_stride_begins_with_a_convolution_of_its_own():
    layers = list(walk(ConvNeXtBlock(16, 2).expand(8, Rules()), (8, 8, 8)))
    assert [layer.path for layer in layers[:3]] == ["down.norm", "down.conv", "block.depthwise"]
    assert isinstance(layers[1].leaf, Conv)
    assert (layers[1].leaf.kernel, layers[1].out_shape) == (2, (16, 4, 4))


def test_kernels_may_be_mixed():
    tree = ConvNeXtBlock(16, kernels=(3, 7)).expand(16, Rules())
    first = next(iter(walk(tree, (16, 8, 8)))).leaf
    assert isinstance(first, MixConv)
    assert [(conv.kernel, conv.groups, conv.bias) for conv in first.convs] == [
        (3, 8, True),
        (7, 8, True),
    ]
