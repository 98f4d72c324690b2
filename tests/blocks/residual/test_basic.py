"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import BasicBlock, Rules
from nas.ir import walk
from tests.blocks.residual.resnets import STEM, body, whole

WIDTHS = (64, 128, 256, 512)


@pytest.mark.parametrize(
    ("depths", "fields", "expected"),
    [
        ((2, 2, 2, 2), {}, (11_689_512, 1_814_073_344, 2_483_712)),
        ((3, 4, 6, 3), {}, (21_797_672, 3_663_761_408, 3_738_112)),
        (
            (2, 2, 2, 2),
            {"se_ratio": 1 / 16, "se_place": "end"},
            (11_779_624, 1_814_161_408, 2_485_760),
        ),
    ],
    ids=["resnet18", "resnet34", "seresnet18"],
)
def test_costs_of_resnets(depths, fields, expected):
    found = body(lambda _, c, stride: BasicBlock(c, stride, **fields), depths, WIDTHS)
    assert whole(found, STEM, 512) == expected


def test_layers():
    same = [layer.path for layer in walk(BasicBlock(8).expand(8, Rules()), (8, 4, 4))]
    assert same == [
        "add.first.conv",
        "add.first.norm",
        "add.first.act",
        "add.second.conv",
        "add.second.norm",
        "act",
    ]
    wider = [layer.path for layer in walk(BasicBlock(16, 2).expand(8, Rules()), (8, 4, 4))]
    assert wider[-3:] == ["add.shortcut.conv", "add.shortcut.norm", "act"]
    assert wider[0] == "add.branch.first.conv"
