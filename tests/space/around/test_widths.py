import pytest

from nas.blocks import ConvBlock, DenseLayer, MBConv, PoolBlock, ShuffleV2Block
from nas.blocks.residual import Bottleneck
from nas.space.around.widths import widths_of
from nas.spec import Head, NetworkSpec, Stem, load_network


def network(*stages, stem=32):
    return NetworkSpec(stem=Stem(stem), stages=stages, head=Head(channels=0))


def found(spec):
    return [(width.blocks, width.values) for width in widths_of(spec)]


def test_a_stage_has_one_width():
    first, second = MBConv(channels=24, stride=2), MBConv(channels=24)
    spec = network((first, second), (MBConv(channels=96, stride=2),))
    assert found(spec) == [((0, 1), (24, 32)), ((2,), (72, 96, 120))]  # 18 is rounded to 24


def test_other_widths_of_a_stage_are_their_own():
    spec = network((ConvBlock(channels=96, stride=2), ConvBlock(channels=64)))
    assert found(spec) == [((0,), (72, 96, 120)), ((1,), (48, 64, 80))]


def test_pooling_has_the_width_before_it():
    pool = PoolBlock(channels=64, stride=2)
    spec = network((pool,), (ConvBlock(channels=64), pool), (pool,), stem=64)
    assert found(spec) == [((0,), (64,)), ((1, 2, 3), (48, 64, 80))]


def test_the_own_width_stays_as_it_is():
    stride_2, stride_1 = ShuffleV2Block(channels=58, stride=2), ShuffleV2Block(channels=58)
    assert found(network((stride_2, stride_1))) == [((0, 1), (40, 58, 72))]


def test_group_widths_decide_which_widths_there_are():
    def widths(group_width, channels):
        block = Bottleneck(channels=channels, bottleneck_ratio=1, group_width=group_width)
        return found(network((block,)))[0][1]

    assert widths(16, 128) == (96, 128, 160)
    assert widths(24, 168) == (120, 168, 216)  # 128 and 208 are no multiples of 24
    assert widths(168, 336) == (336,)


def test_widths_suit_the_blocks_that_follow():
    wide = ConvBlock(channels=64)
    grouped = MBConv(channels=24, expansion=1, expand_groups=1)
    assert found(network((wide,), (grouped,)))[0] == ((0,), (48, 64, 80))
    shuffle = ShuffleV2Block(channels=64)  # of stride 1, with the width of the stage before it
    assert found(network((wide,), (shuffle,))) == [((0,), (64,)), ((1,), (64,))]


def test_what_grows_or_is_a_sum_is_fixed():
    grows = [DenseLayer(channels=80), DenseLayer(channels=96)]
    spec = network((ConvBlock(channels=64), *grows), (ConvBlock(channels=64),))
    assert found(spec) == [((0,), (64,)), ((1,), (80,)), ((2,), (96,)), ((3,), (48, 64, 80))]
    inception = [w for w in widths_of(load_network("googlenet")) if w.values == (480,)]
    assert [len(width.blocks) for width in inception] == [2]  # with the pooling after it


@pytest.mark.parametrize("name", ["resnet_50", "mixnet_m", "squeezenet_1_0", "densenet_121"])
def test_every_block_has_one_width_and_its_own_among_the_values(name):
    spec = load_network(name)
    widths = widths_of(spec)
    assert sorted(i for width in widths for i in width.blocks) == list(range(len(spec.blocks)))
    for width in widths:
        assert {spec.blocks[i].channels for i in width.blocks} <= set(width.values)
