import pytest
from pydantic import ValidationError

from nas.blocks import (
    BLOCKS,
    DEFAULTS,
    FIELDS,
    ConvBlock,
    DarknetBlock,
    DSConv,
    FusedMBConv,
    MBConv,
    Rules,
    UniversalBlock,
)
from nas.blocks.base import shape_after
from nas.ir import Residual, Seq, Sum, end_shape


def test_skips():
    assert isinstance(MBConv(channels=16).expand(16, Rules()), Residual)
    for block in (
        MBConv(channels=16, skip=False),
        MBConv(channels=24),
        MBConv(channels=16, stride=2),
        DSConv(channels=16),
        ConvBlock(channels=16),
    ):
        assert not isinstance(block.expand(16, Rules()), Residual)


@pytest.mark.parametrize("op", BLOCKS)
def test_trusted_blocks_are_equal_to_checked_ones(op):
    kind = BLOCKS[op]
    values = {**DEFAULTS[op], "channels": 24}
    assert set(values) == FIELDS[op]
    assert kind.trusted(values) == kind(channels=24)
    assert hash(kind.trusted(values)) == hash(kind(channels=24))


def test_a_skip_needs_stride_one_and_equal_channels():
    for kind in (DSConv, ConvBlock):
        assert isinstance(kind(channels=16, skip=True).expand(16, Rules()), Residual)
        assert not isinstance(kind(channels=16, skip=True).expand(24, Rules()), Residual)
        assert not isinstance(kind(channels=16, skip=True, stride=2).expand(16, Rules()), Residual)


def test_a_block_names_its_family():
    assert {kind(channels=8).family for kind in BLOCKS.values()} == set(BLOCKS)


def test_the_shape_after_a_block():
    block = ConvBlock(channels=24, stride=2)
    assert shape_after(block, (8, 9, 7), Rules()) == (24, 5, 4)
    with pytest.raises(ValueError, match="group_width 2 does not divide 9 input channels"):
        shape_after(DSConv(channels=8, group_width=2), (9, 4, 4), Rules())


@pytest.mark.parametrize(
    "kind", [ConvBlock, DSConv, MBConv, FusedMBConv, UniversalBlock, DarknetBlock]
)
@pytest.mark.parametrize(("stride", "padding"), [(1, "symmetric"), (2, "same")])
def test_a_pooled_skip_spans_a_stride(kind, stride, padding):
    tree = kind(channels=16, stride=stride, skip="pool").expand(16, Rules(padding))
    assert isinstance(tree, Sum)
    assert tree.branch == "branch"
    (_, branch), (name, shortcut) = tree.children
    assert (
        branch.children
        == kind(channels=16, stride=stride, skip=False).expand(16, Rules(padding)).children
    )
    ((_, pool),) = shortcut.children
    assert (name, pool.kind, pool.kernel, pool.stride) == ("shortcut", "average", 3, stride)
    assert pool.padding == padding
    assert not pool.count_padding
    assert end_shape(tree, (16, 9, 7)) == (16, -(-9 // stride), -(-7 // stride))
    assert isinstance(kind(channels=24, stride=stride, skip="pool").expand(16, Rules()), Seq)


def test_other_skips_are_refused():
    words = "'pol' is no skip connection; allowed: true, false, pool"
    with pytest.raises(ValidationError, match=words):
        MBConv(channels=16, skip="pol")
