import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import BLOCKS as ALL
from nas.blocks import ConvBlock, DSConv, FusedMBConv, MBConv, Rules, UniversalBlock
from nas.blocks.canonical import canonical_block, equivalents
from tests.trees import plain

IN = st.sampled_from([4, 6, 8, 9, 12, 24])
COMMON = {
    "stride": st.sampled_from([1, 2]),
    "kernels": st.sampled_from([(1,), (3,), (5,), (3, 5), (1, 3), (3, 5, 7)]),
    "activation": st.sampled_from(["relu", "identity"]),
    "skip": st.sampled_from([True, False, "pool"]),
    "channels": st.sampled_from([8, 12]),
}
DEPTHWISE = COMMON | {
    "split": st.sampled_from(["equal", "exponential"]),
    "dilated": st.booleans(),
    "group_width": st.sampled_from([1, 1, 2, 4, 8]),
    "project_groups": st.sampled_from([1, 2, 8]),
    "se_ratio": st.sampled_from([0, 0.1, 0.25, 0.26, 0.5]),
    "se_base": st.sampled_from(["input", "middle", "exact_middle"]),
    "se_activation": st.sampled_from([None, "relu", "swish"]),
    "gate": st.sampled_from(["sigmoid", "hard_sigmoid"]),
}
MBCONVS = st.builds(
    MBConv,
    **DEPTHWISE,
    expansion=st.sampled_from([1, 1, 1.1, 2, 2.5, 3, 6]),
    expand_groups=st.sampled_from([1, 2, 8]),
)
PLAIN = {name: COMMON[name] for name in ("stride", "activation", "skip", "channels")}
EXPANSIONS = st.sampled_from([1, 1.1, 2, 3, 6])
SOME_KERNELS = st.sampled_from([(), (1,), (3,), (3, 5)])
UNIVERSALS = st.builds(
    UniversalBlock,
    **PLAIN,
    start_kernels=st.sampled_from([(), (), (3,)]),
    kernels=SOME_KERNELS,
    end_kernels=st.sampled_from([(), (), (5,)]),
    expansion=EXPANSIONS,
)
FUSED = st.builds(
    FusedMBConv,
    **PLAIN,
    kernel=st.sampled_from([1, 3]),
    expansion=EXPANSIONS,
    se_ratio=st.sampled_from([0, 0, 0.25]),
)
BLOCKS = st.one_of(
    MBCONVS, UNIVERSALS, FUSED, st.builds(DSConv, **DEPTHWISE), st.builds(ConvBlock, **COMMON)
)


def tree(block, in_channels):
    """The block's layer tree as plain data; None if it cannot be built."""
    try:
        return plain(block.expand(in_channels, Rules()))
    except ValueError:
        return None


def canonical(block, in_channels):
    try:
        return canonical_block(block, in_channels)
    except ValueError:
        return None


@given(BLOCKS, IN)
def test_the_canonical_block_has_the_same_layers_and_is_its_own(block, in_channels):
    found = canonical(block, in_channels)
    assert (found is None) == (tree(block, in_channels) is None)
    if found is not None:
        assert tree(found, in_channels) == tree(block, in_channels)
        assert canonical_block(found, in_channels) == found
        for other in equivalents(block, in_channels):
            assert tree(other, in_channels) == tree(block, in_channels)


@given(BLOCKS, IN, st.data())
def test_equal_layers_mean_equal_canonical_blocks(block, in_channels, data):
    # Most rewrites of one or two fields change nothing: the two blocks are often equal.
    fields = {**DEPTHWISE, "expansion": st.sampled_from([1, 1.1, 2.5, 3])}
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2))
    own = {f.name for f in dataclasses.fields(block)}
    other = dataclasses.replace(block, **{n: data.draw(fields[n]) for n in names if n in own})
    one, two = tree(block, in_channels), tree(other, in_channels)
    if one is not None and two is not None:
        same = canonical_block(block, in_channels) == canonical_block(other, in_channels)
        assert same == (one == two)


@given(UNIVERSALS, st.sampled_from([8, 16, 24]), st.data())
def test_families_that_build_the_same_layers_have_one_canonical_block(block, in_channels, data):
    other = data.draw(
        st.one_of(
            st.builds(
                MBConv,
                channels=st.just(block.channels),
                stride=st.just(block.stride),
                activation=st.just(block.activation),
                skip=st.just(block.skip),
                kernels=st.just(block.kernels or (3,)),
                expansion=EXPANSIONS,
            ),
            st.builds(
                FusedMBConv,
                channels=st.just(block.channels),
                stride=st.just(block.stride),
                activation=st.just(block.activation),
                skip=st.just(block.skip),
                kernel=st.just(1),
                expansion=EXPANSIONS,
            ),
        )
    )
    one, two = tree(block, in_channels), tree(other, in_channels)
    if one is not None and two is not None:
        same = canonical_block(block, in_channels) == canonical_block(other, in_channels)
        assert same == (one == two)


@pytest.mark.parametrize(
    ("in_channels", "one", "other"),
    [
        (16, MBConv(channels=24, expansion=1, expand_groups=2), MBConv(channels=24, expansion=1)),
        (16, MBConv(channels=24, split="exponential"), MBConv(channels=24)),
        (16, MBConv(channels=24, kernels=(3, 5), split="exponential"),
         MBConv(channels=24, kernels=(3, 5))),
        (16, MBConv(channels=24, dilated=True), MBConv(channels=24)),
        (16, MBConv(channels=24, stride=2, kernels=(7,), dilated=True),
         MBConv(channels=24, stride=2, kernels=(7,))),
        (16, MBConv(channels=24, skip=False), MBConv(channels=24)),
        (24, MBConv(channels=24, stride=2, skip=False), MBConv(channels=24, stride=2)),
        (16, ConvBlock(channels=24, skip=True), ConvBlock(channels=24)),
        (16, MBConv(channels=24, skip="pool"), MBConv(channels=24)),
        (16, MBConv(channels=24, se_ratio=0.26), MBConv(channels=24, se_ratio=0.25)),
        (8, MBConv(channels=24, expansion=2.5), MBConv(channels=24, expansion=3)),
        (16, MBConv(channels=24, expansion=1, activation="identity"),
         DSConv(channels=24, activation="identity")),
    ],
)  # fmt: skip
def test_what_has_no_effect_does_not_count(in_channels, one, other):
    assert canonical_block(one, in_channels) == other == canonical_block(other, in_channels)


@pytest.mark.parametrize(
    ("in_channels", "one", "other"),
    [
        (16, {"expansion": 2, "expand_groups": 2}, {"expansion": 2}),
        (16, {"kernels": (3, 5, 7), "split": "exponential"}, {"kernels": (3, 5, 7)}),
        (9, {"expansion": 1, "kernels": (3, 5), "split": "exponential"},
         {"expansion": 1, "kernels": (3, 5)}),
        (16, {"kernels": (5,), "dilated": True}, {"kernels": (5,)}),
        (24, {"skip": False}, {}),
        (24, {"skip": "pool"}, {}),
        (24, {"skip": "pool", "stride": 2}, {"stride": 2}),
        (16, {"se_ratio": 0.3}, {"se_ratio": 0.25, "kernels": (5,)}),
        # A ratio of 1.1 has an expansion layer, although to as many channels.
        (24, {"expansion": 1.1}, {"expansion": 1}),
        (24, {"expansion": 1, "group_width": 16, "expand_groups": 2},
         {"expansion": 1, "group_width": 16}),
    ],
)  # fmt: skip
def test_what_has_an_effect_counts(in_channels, one, other):
    first, second = (MBConv(channels=24, **fields) for fields in (one, other))
    assert canonical_block(first, in_channels) != canonical_block(second, in_channels)


def test_an_impossible_block_has_no_canonical_form():
    with pytest.raises(ValueError, match="4 channels cannot be split over 8 groups"):
        canonical_block(MBConv(channels=16, expand_groups=8), 4)
    with pytest.raises(ValueError, match="group_width 2 does not divide 9 input channels"):
        canonical_block(DSConv(channels=8, group_width=2), 9)
    with pytest.raises(ValueError, match=r"one kernel size; found \[3, 5\]"):
        canonical_block(ConvBlock(channels=8, kernels=(3, 5)), 8)


FEW = {"inception", "pool", "separable", "transition"}  # families without fields to vary here


def other_values(block, name):
    """Values of a field that a space may have beside the block's own."""
    own = getattr(block, name)
    if isinstance(own, bool):
        return [True, False]
    kernels = [(3,), (5,), (3, 5), (3, 5, 7)]
    some = {
        "se_ratio": [0, 0.1, 0.25, 0.26, 0.5],
        "se_base": ["input", "middle", "exact_middle"],
        "se_place": ["middle", "end"],
        "kernels": kernels,
        "start_kernels": [(), *kernels],
        "end_kernels": [(), *kernels],
        "split": ["equal", "exponential"],
        "squeeze_ratio": [0.1, 0.125, 0.25],
        "group_width": [1, 2, 4, 8],
        "base_width": [13, 16, 26, 32, 52],
        "bottleneck_ratio": [1, 2, 3.9, 4, 8],
        "expansion": [1, 1.1, 2, 2.5, 3, 6],
        "skip": [True, False, "pool"],
        "shortcut": ["conv", "pool"],
        "gate": ["sigmoid", "hard_sigmoid"],
        "se_activation": [None, "relu", "swish"],
        "activation": ["relu", "swish", "identity"],
    }
    if name in some:
        return some[name]
    return [own, own + 1, 2 * own] if isinstance(own, int) and name != "stride" else [own]


@pytest.mark.parametrize("op", sorted(ALL.keys() - FEW))
def test_values_of_a_field_have_equal_effects_exactly_if_the_layers_are_equal(op):
    rng = random.Random(op)
    told_apart = 0
    for _ in range(150):
        in_channels, channels = rng.choice([8, 12, 16, 24, 64]), rng.choice([12, 16, 24, 64])
        block = ALL[op](channels=rng.choice([in_channels, channels]), stride=rng.choice([1, 2]))
        names = [f.name for f in dataclasses.fields(block) if f.name not in ("op", "channels")]
        values = {name: rng.choice(other_values(block, name)) for name in names}
        block = ALL[op].trusted({**values, "channels": block.channels})
        name = rng.choice(names)
        changed = ALL[op].trusted({**block.__dict__, name: rng.choice(other_values(block, name))})
        one, two = tree(block, in_channels), tree(changed, in_channels)
        if one is None or two is None or name not in ALL[op].context:
            continue
        same = block.effect(name, in_channels) == changed.effect(name, in_channels)
        assert same == (one == two), (block, changed, in_channels)
        told_apart += not same
    assert told_apart
