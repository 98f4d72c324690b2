"""The numbers are timm's (1.0.31), counted from its modules."""

from nas.blocks import ConvBlock, FusedMBConv, MBConv, Rules
from nas.cost.count import tally
from nas.ir import walk


def test_costs_of_efficientnetv2_s():
    conv = ConvBlock(24, activation="swish", skip=True)
    blocks = [conv, conv]
    for channels, depth in ((48, 4), (64, 4)):
        blocks += [FusedMBConv(channels, 1 if i else 2, expansion=4) for i in range(depth)]
    for channels, depth, stride, ratio in ((128, 6, 2, 4), (160, 9, 1, 6), (256, 15, 2, 6)):
        blocks += [
            MBConv(
                channels,
                1 if i else stride,
                expansion=ratio,
                se_ratio=0.25,
                activation="swish",
            )
            for i in range(depth)
        ]
    found = tally(blocks, Rules(), (24, 112, 112))
    stem, head = 27 * 24, 256 * 1280
    assert found.params + stem + 48 + head + 2560 + 1_281_000 == 21_458_488
    assert found.madds + stem * 112**2 + head * 49 + 1_280_000 == 2_849_895_872
    assert found.activations + 24 * 112**2 + 1280 * 49 == 12_193_464


def test_layers():
    tree = FusedMBConv(16, se_ratio=0.25).expand(16, Rules())
    assert [layer.path for layer in walk(tree, (16, 8, 8))] == [
        "expand.conv",
        "expand.norm",
        "expand.act",
        "se",
        "project.conv",
        "project.norm",
    ]
