from nas.blocks import ConvBlock, MBConv
from nas.space.plan import (
    BlockPlan,
    StagePlan,
    ValueSource,
    get_all,
    network_stages,
    used_variables,
)
from nas.space.variables import INACTIVE, Variable

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


def test_an_inactive_variable_builds_with_its_first_value():
    assert WIDTH.get((INACTIVE, 0)) == 8
    assert WIDTH.known({0: INACTIVE}) == 8
    assert WIDTH.known({1: 0}) is None
    assert ValueSource(3).known({}) == 3


def test_plans_that_go_on_belong_to_the_stage_before():
    stages = [StagePlan(name, None, [], name.endswith("2")) for name in ("a", "a2", "b", "c", "c2")]
    assert network_stages(stages) == [[0, 1], [2], [3, 4]]
