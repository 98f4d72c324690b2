import pytest

from nas.blocks import ConvBlock, MBConv
from nas.space.plan import BlockPlan, StagePlan, ValueSource, claim_into, get_all, used_variables
from nas.space.variables import Variable

WIDTHS = Variable("w", (8, 16, 24))
OPS = Variable("op", ("mbconv", "conv"))
WIDTH = ValueSource(variable=0, values=WIDTHS.values)
OP = ValueSource(variable=1, values=OPS.values)
FIELDS = {"channels": WIDTH, "expansion": ValueSource(3), "kernels": ValueSource((5,))}


def test_sources():
    assert (ValueSource(3).get(()), ValueSource(3).options) == (3, (3,))
    assert (WIDTH.get((2, 0)), WIDTH.options) == (24, (8, 16, 24))
    assert get_all({"a": WIDTH, "b": ValueSource("x")}, (1, 0)) == {"a": 16, "b": "x"}
    assert used_variables([WIDTH, ValueSource(0), OP, WIDTH]) == (0, 1, 0)


def test_a_block_has_the_fields_of_its_family():
    plan = BlockPlan(OP, FIELDS, stride=2)
    assert plan.build((1, 0)) == MBConv(channels=16, stride=2, kernels=(5,), expansion=3)
    assert plan.build((2, 1)) == ConvBlock(channels=24, stride=2, kernels=(5,))
    assert plan.build((2, 1), channels=40).channels == 40
    assert plan.build((2, 1)).channels == 24
    assert plan.build((1, 0)) is plan.build((1, 0))


def test_the_last_plan_serves_all_further_blocks():
    first = BlockPlan(ValueSource("conv"), {"channels": ValueSource(8)}, stride=2)
    rest = BlockPlan(ValueSource("conv"), {"channels": WIDTH}, stride=1)
    stage = StagePlan("a", ValueSource(variable=1, values=(1, 2, 4)), [first, rest])
    sizes = [[b.channels for b in stage.build((1, depth))] for depth in range(3)]
    assert sizes == [[8], [8, 16], [8, 16, 16, 16]]
    assert [b.channels for b in stage.build((1, 0), derived=(40, 3))] == [40, 40, 40]
    assert stage.block(0) is first
    assert stage.block(1) is stage.block(3) is rest
    assert stage.used == (1, 0)


def test_claims_are_recorded_and_contradictions_refused():
    assignment: dict[int, int] = {}
    claim = claim_into(assignment, [WIDTHS, OPS])
    claim(ValueSource(3), 3, "depth")
    claim(WIDTH, 16, "channels")
    claim(WIDTH, 16, "channels")
    assert assignment == {0: 1}
    with pytest.raises(ValueError, match="channels is 24, but w is 16 elsewhere in the network"):
        claim(WIDTH, 24, "channels")
    with pytest.raises(ValueError, match=r"is 9, not among the 3 choices of w: 8, 16, 24$"):
        claim(WIDTH, 9, "channels")
    with pytest.raises(ValueError, match=r"kernels is \[3, 5\], but the space has \[3\]"):
        claim(ValueSource((3,)), (3, 5), "kernels")
    many = Variable("m", tuple(range(9)))
    with pytest.raises(ValueError, match=r"9 choices of m: 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.$"):
        claim_into({}, [many])(ValueSource(variable=0, values=many.values), 10, "x")


def test_matching_is_the_inverse_of_building():
    plan = BlockPlan(OP, FIELDS, stride=2)
    assignment: dict[int, int] = {}
    plan.match(plan.build((2, 1)), claim_into(assignment, [WIDTHS, OPS]))
    assert assignment == {0: 2, 1: 1}
    claim = claim_into({1: 0}, [WIDTHS, OPS])
    with pytest.raises(ValueError, match="op is conv, but op is mbconv elsewhere"):
        plan.match(ConvBlock(channels=8, stride=2, kernels=(5,)), claim)
    with pytest.raises(ValueError, match="stride is 1, but the space has 2"):
        plan.match(MBConv(channels=8, kernels=(5,), expansion=3), claim)
    with pytest.raises(ValueError, match=r"se_ratio is 0.25, but the space has 0"):
        plan.match(MBConv(channels=8, stride=2, kernels=(5,), expansion=3, se_ratio=0.25), claim)
