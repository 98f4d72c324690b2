"""The numbers are timm's (1.0.31) and pycls', counted from their modules at 224 pixels."""

import pytest

from nas.blocks import Bottleneck, Rules
from nas.ir import Conv, MixConv, walk
from tests.blocks.residual.resnets import DEEP_STEM, STEM, body, whole


@pytest.mark.parametrize(
    ("depths", "fields", "stem", "expected"),
    [
        ((3, 4, 6, 3), {}, STEM, (25_557_032, 4_089_184_256, 11_113_984)),
        ((3, 4, 23, 3), {}, STEM, (44_549_160, 7_801_405_440, 16_231_936)),
        ((3, 8, 36, 3), {}, STEM, (60_192_808, 11_513_626_624, 22_554_112)),
        (
            (3, 4, 6, 3),
            {"shortcut": "pool"},
            DEEP_STEM,
            (25_576_264, 4_328_824_832, 11_916_800),
        ),
        (
            (3, 4, 6, 3),
            {"se_ratio": 1 / 16, "se_place": "end"},
            STEM,
            (28_088_024, 4_091_699_200, 11_130_032),
        ),
    ],
    ids=["resnet50", "resnet101", "resnet152", "resnet50d", "seresnet50"],
)
def test_costs_of_resnets(depths, fields, stem, expected):
    found = body(lambda _, c, stride: Bottleneck(c, stride, **fields), depths)
    assert whole(found, stem) == expected


def test_costs_of_resnext():
    def block(stage, channels, stride):
        return Bottleneck(channels, stride, bottleneck_ratio=2, group_width=4 << stage)

    expected = (25_028_904, 4_230_479_872, 14_400_512)
    assert whole(body(block, (3, 4, 6, 3)), STEM) == expected


@pytest.mark.parametrize(
    ("depths", "widths", "width", "se_ratio", "expected"),
    [
        ((1, 1, 4, 7), (24, 56, 152, 368), 8, 0, (2_684_792, 199_039_872, 2_163_056)),
        ((1, 1, 4, 7), (24, 56, 152, 368), 8, 0.25, (3_162_996, 199_514_080, 2_167_052)),
        ((2, 6, 17, 2), (48, 120, 336, 888), 24, 0.25, (11_202_430, 1_612_076_160, 8_043_814)),
        ((2, 5, 15, 1), (80, 240, 720, 1920), 120, 0, (39_572_648, 7_995_132_416, 14_058_688)),
    ],
    ids=["regnetx_002", "regnety_002", "regnety_016", "regnetx_080"],
)
def test_costs_of_regnets(depths, widths, width, se_ratio, expected):
    def block(_, channels, stride):
        group_width = min(width, channels)
        return Bottleneck(
            channels, stride, bottleneck_ratio=1, group_width=group_width, se_ratio=se_ratio
        )

    stem = (27 * 32 + 64, 27 * 32 * 112 * 112, 32 * 112 * 112)
    found = body(block, depths, widths, stem=32, size=112, first_stride=2)
    assert whole(found, stem, widths[-1]) == expected


def test_kernels_are_mixed_in_groups():
    block = Bottleneck(32, bottleneck_ratio=2, group_width=4, kernels=(3, 5))
    middle = next(
        layer.leaf
        for layer in walk(block.expand(32, Rules()), (32, 8, 8))
        if isinstance(layer.leaf, MixConv)
    )
    assert [(c.kernel, c.in_channels, c.groups) for c in middle.convs] == [(3, 8, 2), (5, 8, 2)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"group_width": 3}, "group_width 3 does not divide the 8 channels in the middle"),
        ({"kernels": (3, 5)}, "1 channel group cannot|1 channel cannot be split over 2 groups"),
    ],
)
def test_blocks_that_cannot_be_built(fields, problem):
    with pytest.raises(ValueError, match=problem):
        Bottleneck(32, **fields).expand(32, Rules())


def test_the_middle_is_dense_unless_told_otherwise():
    tree = Bottleneck(32).expand(32, Rules())
    convs = [layer.leaf for layer in walk(tree, (32, 8, 8)) if isinstance(layer.leaf, Conv)]
    assert [(conv.kernel, conv.groups) for conv in convs] == [(1, 1), (3, 1), (1, 1)]
