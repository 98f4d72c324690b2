from nas.blocks import ConvBlock, DarknetBlock, DenseLayer, MBConv, PoolBlock
from nas.space.around.parts import parts_of, stride_one
from nas.spec import Head, NetworkSpec, Stem, load_network, reference_names


def parts(*stage, stem=32):
    return parts_of(NetworkSpec(stem=Stem(stem), stages=(stage,), head=Head(channels=0)))


def shapes(found):
    return [(part.begins, len(part.places), part.depths) for part in found]


def test_the_first_block_may_differ_from_the_others():
    one, other = MBConv(channels=16, stride=2, kernels=(5,)), MBConv(channels=16)
    assert shapes(parts(one, other, other)) == [(True, 3, (2, 3, 4))]
    third = MBConv(channels=16, kernels=(7,))
    assert shapes(parts(one, other, third)) == [(True, 2, (1, 2, 3)), (False, 1, (1,))]
    assert shapes(parts(one, other, third, third)) == [(True, 2, (2,)), (False, 2, (1, 2, 3))]


def test_another_family_width_or_stride_begins_another_part():
    conv = ConvBlock(channels=64, stride=2)
    dark = DarknetBlock(channels=64)
    assert shapes(parts(conv, dark)) == [(True, 1, (1,)), (False, 1, (1, 2))]
    assert len(parts(MBConv(channels=16), MBConv(channels=24))) == 2
    assert len(parts(MBConv(channels=16), MBConv(channels=16, stride=2))) == 2


def test_what_only_reduces_or_grows_has_its_depth():
    pool = PoolBlock(channels=32, stride=2)
    assert shapes(parts(pool)) == [(True, 1, (1,))]
    assert shapes(parts(pool, DenseLayer(channels=40))) == [(True, 1, (1,)), (False, 1, (1,))]
    assert shapes(parts(ConvBlock(channels=16), PoolBlock(channels=16))) == [
        (True, 1, (1, 2)),
        (False, 1, (1,)),
    ]


def test_depths_end_at_1_and_at_the_most_that_a_space_has():
    assert parts(MBConv(channels=16))[0].depths == (1, 2)
    block = MBConv(channels=16)
    assert parts(*[block] * 64)[0].depths == (63, 64)


def test_the_block_that_is_repeated_has_stride_1():
    (part,) = parts(MBConv(channels=16, stride=2))
    assert part.repeated == (MBConv(channels=16), 16)
    assert part.all_places == [(MBConv(channels=16, stride=2), 32), (MBConv(channels=16), 16)]
    assert stride_one(MBConv(channels=16, stride=2)) == MBConv(channels=16)


def test_the_parts_are_the_network():
    for name in reference_names():
        spec = load_network(name)
        found = parts_of(spec)
        blocks = tuple(place.block for part in found for place in part.places)
        assert blocks == spec.blocks, name
        for i, stage in enumerate(spec.stages):
            here = [part for part in found if part.stage == i]
            assert sum(len(part.places) for part in here) == len(stage)
            assert sum(len(part.depths) > 1 for part in here) <= 1


def test_more_blocks_than_a_stage_of_a_space_has_are_several_parts():
    block = MBConv(channels=16)
    found = parts(*[block] * 150, stem=16)
    assert shapes(found) == [(True, 64, (64,)), (False, 64, (63, 64)), (False, 22, (22,))]
