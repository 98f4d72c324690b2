"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import Res2Net, Rules
from nas.ir import Pool, walk
from tests.blocks.residual.resnets import STEM, body, whole


@pytest.mark.parametrize(
    ("depths", "base_width", "scale", "expected"),
    [
        ((3, 4, 6, 3), 26, 4, (25_699_120, 4_255_166_464, 12_607_504)),
        ((3, 4, 6, 3), 14, 8, (25_059_816, 4_178_898_944, 13_277_040)),
        ((3, 4, 23, 3), 26, 4, (45_206_688, 8_066_974_464, 18_445_168)),
    ],
    ids=["res2net50_26w_4s", "res2net50_14w_8s", "res2net101_26w_4s"],
)
def test_costs(depths, base_width, scale, expected):
    found = body(
        lambda _, c, stride: Res2Net(c, stride, base_width=base_width, scale=scale), depths
    )
    assert whole(found, STEM) == expected


def test_slices_feed_one_another_where_the_shape_stays():
    same = [layer.path for layer in walk(Res2Net(64).expand(64, Rules()), (64, 8, 8))]
    assert "add.middle.convs.0.conv" in same
    assert "add.middle.convs.2.conv" in same
    wider = list(walk(Res2Net(64).expand(32, Rules()), (32, 8, 8)))
    pool = next(layer for layer in wider if isinstance(layer.leaf, Pool))
    assert pool.path == "add.branch.middle.last"
    assert (pool.leaf.stride, pool.in_shape) == (1, (6, 8, 8))
