import pytest

from nas.document import parse_document
from nas.space.compile import compile_document
from nas.space.derive import RegNetRule
from nas.space.identity.uses import Impossible, Place, Use
from nas.space.plan import BlockPlan, ValueSource

DEPTH = ValueSource(variable=0, values=(1, 2))
INPUTS = ValueSource(variable=1, values=(8, 16))


def place(position=0, op="mbconv", **sources):
    """A block of 16 channels; variable 0 decides the depth, and 1 the input channels."""
    sources = {"channels": ValueSource(16)} | {
        name: source if isinstance(source, ValueSource) else ValueSource(source)
        for name, source in sources.items()
    }
    plan = BlockPlan(op if isinstance(op, ValueSource) else ValueSource(op), sources, stride=1)
    inputs = sources["channels"] if position else INPUTS
    return Place(0, "a", position, plan, DEPTH, inputs, None)


def test_a_field_of_a_block_that_does_not_exist_contributes_nothing():
    skip = ValueSource(variable=2, values=(True, False))
    use = Use(place(1, skip=skip), "skip")
    assert use.scope == {0, 2}
    assert use.effect((0, 0, 1)) is None
    assert use.effect((1, 0, 1)) != use.effect((1, 0, 0))


def test_a_field_of_another_family_contributes_nothing():
    op = ValueSource(variable=3, values=("mbconv", "conv"))
    expansion = ValueSource(variable=2, values=(2, 3))
    use = Use(place(op=op, expansion=expansion), "expansion")
    assert use.effect({0: 0, 1: 0, 2: 1, 3: 0}) is not None
    assert use.effect({0: 0, 1: 0, 2: 1, 3: 1}) is None
    assert use.scope == {1, 2, 3}  # the first block exists at every depth


def test_a_skip_has_an_effect_where_widths_are_equal():
    use = Use(place(skip=ValueSource(variable=2, values=(True, False))), "skip")
    assert use.effect((0, 0, 0)) == use.effect((0, 0, 1))  # 8 to 16 channels
    assert use.effect((0, 1, 0)) != use.effect((0, 1, 1))  # 16 to 16
    assert use.varies() == (True, False)


def test_what_does_not_fit_is_told():
    use = Use(place(project_groups=ValueSource(variable=2, values=(1, 8)), expansion=0.5), "split")
    assert use.varies() == (False, False)
    groups = Use(
        place(channels=ValueSource(4), project_groups=ValueSource(variable=2, values=(1, 8))),
        "project_groups",
    )
    reason = "4 channels cannot be split over 8 groups (equal)"
    assert groups.effect((0, 0, 1)) == Impossible(reason)
    assert groups.varies() == (False, True)


def test_variables_that_are_shared_are_varied_together():
    # Input and output have the same width, so the skip always has an effect.
    both = Place(
        0,
        "a",
        0,
        BlockPlan(
            ValueSource("mbconv"),
            {"channels": INPUTS, "skip": ValueSource(variable=2, values=(True, False))},
            stride=1,
        ),
        DEPTH,
        INPUTS,
        None,
    )
    assert Use(both, "skip").varies() == (False, False)


def test_places_know_their_channels():
    assert place().channels((0, 1)) == (16, 16)
    assert place().channels((0, 0)) == (8, 16)
    assert place().channels({0: 0}) == (None, 16)  # the input does not matter to the caller
    assert place(1).channels((0, 0)) is None
    assert place(1).channels((1, 0)) == (16, 16)
    names = "se_ratio skip split dilated project_groups se_base se_activation gate expansion"
    assert place(1, se_ratio=0.5).fields == [*names.split(), "expand_groups"]


def test_the_first_block_is_always_there():
    assert place().always
    assert not place(1).always


def test_what_an_earlier_block_can_have_the_others_can():
    width = ValueSource(variable=2, values=(1, 3))
    first, later = (
        Use(place(j, "bottleneck", bottleneck_ratio=1, group_width=width), "group_width")
        for j in (0, 1)
    )
    assert later.follows(first)
    assert not later.follows(Use(first.place, "kernels"))
    # That of other widths, or one that depends on the block's input, tells nothing.
    other = place(0, "bottleneck", bottleneck_ratio=2, group_width=width)
    assert not later.follows(Use(other, "group_width"))
    inner = [Use(place(j, expand_groups=width), "expand_groups") for j in (0, 1)]
    assert not inner[1].follows(inner[0])


def test_places_of_a_derived_space():
    plans = compile_document(
        parse_document(
            "{stem: {channels: 8}, stages: {a: {}, b: {}},"
            " derive: {depth: {choice: [2, 3]}, w0: 8, wa: 6, wm: 2}}",
            "s.yaml",
        )
    )
    assert isinstance(plans.rule, RegNetRule)
    stem = plans.stem["channels"]
    places = [
        Place(i, stage.name, j, plan, None, stem, plans.rule)
        for i, stage in enumerate(plans.stages)
        for j, plan in enumerate(stage.blocks)
    ]
    # Widths 8 and 14 are 8 and 16; so is 20, at depth 3.
    assert [p.channels((0,)) for p in places] == [(8, 8), None, (8, 16), None]
    assert [p.channels((1,)) for p in places] == [(8, 8), None, (8, 16), (16, 16)]


@pytest.mark.parametrize(("expansion", "family"), [(1, "dsconv"), (2, "mbconv")])
def test_the_canonical_family(expansion, family):
    op = ValueSource(variable=2, values=("mbconv", "dsconv"))
    use = Use(place(op=op, activation="identity", expansion=expansion), "op")
    assert use.effect((0, 0, 0)) == family
    assert use.effect((0, 0, 1)) == "dsconv"
