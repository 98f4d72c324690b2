"""What blocks with an adapting shortcut share."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import BasicBlock, Bottleneck, Res2Net, Rules, SplitAttentionBlock
from nas.blocks.canonical import canonical_block
from nas.ir import Residual, Sum, residual_ends
from tests.trees import plain

COMMON = {
    "channels": st.sampled_from([16, 24, 32]),
    "stride": st.sampled_from([1, 2]),
    "se_ratio": st.sampled_from([0, 0.06, 0.0625, 0.25, 0.26]),
    "se_place": st.sampled_from(["middle", "end"]),
    "activation": st.sampled_from(["relu", "identity"]),
    "shortcut": st.sampled_from(["conv", "pool"]),
}
RATIO = {"bottleneck_ratio": st.sampled_from([0.5, 1, 2, 2.1, 4, 4.1])}
FIELDS = {
    BasicBlock: COMMON,
    Bottleneck: COMMON
    | RATIO
    | {
        "group_width": st.sampled_from([0, 1, 4, 8]),
        "kernels": st.sampled_from([(3,), (3, 5), (3, 5, 7)]),
        "split": st.sampled_from(["equal", "exponential"]),
    },
    Res2Net: COMMON
    | RATIO
    | {"scale": st.sampled_from([2, 4]), "base_width": st.sampled_from([13, 14, 26])},
    SplitAttentionBlock: COMMON | RATIO | {"radix": st.sampled_from([1, 2, 3])},
}
BLOCKS = st.one_of(*(st.builds(kind, **fields) for kind, fields in FIELDS.items()))
IN = st.sampled_from([16, 24])


def tree(block, in_channels):
    try:
        return plain(block.expand(in_channels, Rules()))
    except ValueError:
        return None


@given(BLOCKS, IN)
def test_the_canonical_block_has_the_same_layers_and_is_its_own(block, in_channels):
    expected = tree(block, in_channels)
    if expected is None:
        with pytest.raises(ValueError, match=r"does not divide|cannot be split"):
            canonical_block(block, in_channels)
        return
    found = canonical_block(block, in_channels)
    assert tree(found, in_channels) == expected
    assert canonical_block(found, in_channels) == found


@given(BLOCKS, IN, st.data())
def test_equal_layers_mean_equal_canonical_blocks(block, in_channels, data):
    fields = FIELDS[type(block)]
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2))
    other = dataclasses.replace(block, **{name: data.draw(fields[name]) for name in names})
    one, two = tree(block, in_channels), tree(other, in_channels)
    if one is not None and two is not None:
        same = canonical_block(block, in_channels) == canonical_block(other, in_channels)
        assert same == (one == two)


def test_the_shortcut_adapts_only_where_shapes_differ():
    kinds = [
        type(dict(Bottleneck(16, stride).expand(channels, Rules()).children)["add"])
        for stride, channels in ((1, 16), (1, 8), (2, 16))
    ]
    assert kinds == [Residual, Sum, Sum]


def test_stochastic_depth_knows_the_branch():
    assert residual_ends(Bottleneck(16, 2).expand(16, Rules())) == {"add.branch.expand.norm"}
    assert residual_ends(Bottleneck(16).expand(16, Rules())) == {"add.expand.norm"}


def test_se_is_relative_to_where_it_stands():
    def reduced(**fields):
        se = dict(plain_parts(Bottleneck(256, se_ratio=0.1, **fields)))["se"]
        return se.reduce.in_channels, se.reduce.out_channels

    def plain_parts(block):
        branch = dict(dict(block.expand(40, Rules()).children)["add"].children)["branch"]
        return branch.children

    assert reduced(se_place="middle") == (64, 4)  # a tenth of 40
    assert reduced(se_place="end") == (256, 24)  # a tenth of 256, as a multiple of 8
