import pytest

from nas.blocks import BLOCKS, FIELDS, Bottleneck, ConvBlock, GhostBlock, MBConv, PoolBlock, Res2Net
from nas.space.around.steps import STEPS, Fitted, choices, kernel_steps, ratio_steps


@pytest.mark.parametrize(
    ("mix", "around"),
    [
        ((3,), {(5,), (3, 5)}),
        ((5,), {(3,), (7,), (3, 5), (5, 7)}),
        ((9,), {(7,), (7, 9)}),  # no larger size than in the published networks
        ((11,), {(9,), (9, 11)}),  # unless the network has it
        ((3, 5), {(5, 5), (3, 3), (3, 7), (3, 5, 7), (3,), (5,)}),
        ((3, 5, 7, 9, 11)[:1], {(5,), (3, 5)}),
        ((1,), set()),
        ((), set()),
    ],
)
def test_steps_of_kernels(mix, around):
    assert set(kernel_steps(mix)) == around


def test_five_groups_do_not_become_six():
    found = kernel_steps((3, 5, 7, 9, 11))
    assert {len(mix) for mix in found} == {4, 5}
    assert {mix for mix in found if len(mix) == 4} == {(3, 5, 7, 9), (5, 7, 9, 11)}
    assert all(mix == tuple(sorted(mix)) for mix in found)


def test_steps_of_ratios():
    assert ratio_steps(6) == [5, 7]
    assert ratio_steps(1) == [2]
    assert ratio_steps(4.5) == [3.375, 5.625]


def of(block, *in_channels):
    return [Fitted(block, channels) for channels in in_channels or (16,)]


def test_choices_hold_the_own_value_and_what_the_block_takes():
    block = MBConv(channels=24, kernels=(3, 5), expansion=6, se_ratio=0)
    assert choices("kernels", of(block)) == [(3,), (5,), (3, 5), (3, 7), (3, 5, 7)]
    assert choices("expansion", of(block)) == [5, 6, 7]
    assert choices("se_ratio", of(block)) == [0, 0.25]
    assert choices("channels", of(block)) == [24]
    assert choices("activation", of(block)) == ["relu"]
    # A plain convolution has one kernel size.
    assert choices("kernels", of(ConvBlock(channels=8, kernels=(3,)))) == [(3,), (5,)]
    assert choices("expansion", of(MBConv(channels=24, expansion=16))) == [15, 16]
    assert choices("se_ratio", of(MBConv(channels=24, se_ratio=0.5))) == [0, 0.5]


def test_a_value_must_suit_all_blocks():
    block = MBConv(channels=24, kernels=(3,), expansion=1)
    assert choices("kernels", of(block, 16)) == [(3,), (5,), (3, 5)]
    assert choices("kernels", of(block, 16, 1)) == [(3,), (5,)]  # one channel has no two groups


def test_values_with_the_effect_of_others_are_left_out():
    same = GhostBlock(channels=16)  # nothing has its kernels, since the shape stays
    assert choices("kernels", of(same, 16)) == [(3,)]
    assert choices("kernels", of(same, 8)) == [(3,), (5,), (3, 5)]
    # 3.375 and 4.5 times 1 channel are both rounded to 8.
    assert choices("expansion", of(MBConv(channels=8, expansion=4.5), 1)) == [4.5]


def test_group_widths_divide_channels():
    def widths(own, channels=64):
        block = Bottleneck(channels=channels, bottleneck_ratio=1, group_width=own)
        return choices("group_width", of(block))

    assert widths(16) == [8, 16, 32]
    assert widths(16, 80) == [8, 16]
    assert widths(3, 12) == [3, 6]
    assert widths(1) == [1]  # depthwise
    assert widths(0) == [0]  # one group


def test_bottlenecks_have_a_quarter_less_or_more_in_the_middle():
    block = Bottleneck(channels=256)
    found = choices("bottleneck_ratio", of(block))
    middles = [
        Bottleneck(channels=256, bottleneck_ratio=ratio).middle_channels() for ratio in found
    ]
    assert middles == [80, 64, 48]
    assert choices("bottleneck_ratio", of(Bottleneck(channels=64, bottleneck_ratio=1))) == [1]


def test_what_stays():
    assert choices("kernel", of(PoolBlock(channels=16), 16)) == [3]
    assert choices("bottleneck_ratio", of(Res2Net(channels=256))) == [4]
    assert choices("base_width", of(Res2Net(channels=256))) == [20, 26, 32]


def test_every_step_is_one_of_a_field_that_exists():
    fields = frozenset().union(*(FIELDS[op] for op in BLOCKS))
    assert set(STEPS) <= fields
