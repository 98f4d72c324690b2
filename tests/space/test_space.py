import dataclasses
import itertools
import math
import random
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.space import (
    INACTIVE,
    load_space,
    sample,
    size,
    space_from_yaml,
)
from nas.spec import load_network

TINY = """
name: tiny
stem: {channels: $w}
variables: {w: {choice: [8, 16]}}
stages:
  a:
    depth: {choice: [1, 2, 3]}
    channels: {choice: [8, 16]}
    kernels: 3
    rest: {kernels: {choice: [[3], [3, 5]]}, se_ratio: {choice: [0, 0.25]}}
  b:
    stride: 2
    op: {choice: [mbconv, conv]}
    depth: {choice: [1, 2]}
    channels: {choice: [16, 24]}
    each: {kernels: {choice: [3, 5, 7]}}
    first: {expansion: {choice: [2, 3]}}
restrictions: ["a.channels <= b.channels", "a.depth + b.depth <= 4"]
"""
mixnet = load_space("mixnet")
tiny = space_from_yaml(TINY)
seeds = st.integers(0, 10**9)


@cache
def everything(space):
    """All canonical genotypes that keep the restrictions, by brute force."""
    ranges = [range(len(v.values)) for v in space.variables]
    found = {space.canonical(g) for g in itertools.product(*ranges)}
    return {g for g in found if not space.broken(g)}


@pytest.mark.parametrize("name", ["mixnet_s", "mixnet_m", "mixnet_l"])
def test_mixnets_are_members(name):
    spec = load_network(name)
    assert mixnet.contains(spec)
    assert mixnet.decode(mixnet.encode_spec(spec)) == spec


@given(seeds)
def test_spec_and_genotype_are_inverse(seed):
    genotype = mixnet.draw(random.Random(seed))
    assert mixnet.encode_spec(mixnet.decode(genotype)) == genotype
    assert mixnet.from_params(mixnet.to_params(genotype)) == genotype


def test_spec_and_genotype_are_inverse_everywhere_in_a_small_space():
    specs = set()
    for genotype in everything(tiny):
        spec = tiny.decode(genotype)
        assert tiny.encode_spec(spec) == genotype
        specs.add(spec.digest())
    assert len(specs) == len(everything(tiny))


def test_membership_says_where_a_network_leaves_the_space():
    spec = load_network("mixnet_m")
    blocks = [list(stage) for stage in spec.stages]
    blocks[2][1] = dataclasses.replace(blocks[2][1], kernels=(5, 3))
    changed = spec.replace(stages=tuple(map(tuple, blocks)))
    with pytest.raises(MixnasError, match=r"stages\[2\]\[1\]: kernels is \[5, 3\], which s2"):
        mixnet.encode_spec(changed)
    with pytest.raises(MixnasError, match="7 stages, but the space has 6"):
        mixnet.encode_spec(load_network("mobilenet_v2"))
    with pytest.raises(MixnasError, match="padding is same"):
        mixnet.encode_spec(spec.replace(padding="same"))
    blocks[2][1] = dataclasses.replace(spec.stages[2][1], expansion=3)
    with pytest.raises(MixnasError, match="elsewhere in the network"):
        mixnet.encode_spec(spec.replace(stages=tuple(map(tuple, blocks))))


def rewritten(spec, **changes):
    """The network with fields of all blocks changed."""
    return spec.replace(
        stages=tuple(tuple(dataclasses.replace(b, **changes) for b in s) for s in spec.stages)
    )


def test_rewrites_without_effect_are_members_too():
    spec = load_network("mixnet_s")
    first = dataclasses.replace(
        spec.stages[0][0], expand_groups=2, split="exponential", dilated=True
    )
    other = spec.replace(stages=((first,), *spec.stages[1:]))
    assert mixnet.encode_spec(other) == mixnet.encode_spec(spec)
    blocks = tuple(
        tuple(dataclasses.replace(b, skip=False) if b.stride == 2 else b for b in stage)
        for stage in spec.stages
    )
    assert mixnet.contains(spec.replace(stages=blocks))
    assert not mixnet.contains(rewritten(spec, skip=False))
    # Two groups of an even number of groups are split in the same way, three are not.
    assert not mixnet.contains(rewritten(spec, split="exponential"))


def test_neighbours_in_mnasnet_are_never_the_network_itself():
    space = load_space("mnasnet")
    rng = random.Random(0)
    for _ in range(3):
        genotype = sample(space, rng).genotype
        own = space.decode(genotype).digest()
        neighbours = [space.decode(other).digest() for other in space.neighbours(genotype)]
        assert own not in neighbours
        assert len(set(neighbours)) == len(neighbours)


def test_variables_without_effect_are_inactive():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        head: {channels: {choice: [0, 16]}, activation: {choice: [relu, mish]}}
        stages:
          a: {channels: {choice: [8, 16]}, skip: {choice: [true, false]},
              expansion: {choice: [1, 6]}, expand_groups: {choice: [1, 2]}}
        """
    )
    names = ("head.channels", "head.activation", "a.channels", "a.skip", "a.expansion",
             "a.expand_groups")  # fmt: skip

    def inactive(*values):
        genotype = space.from_params(dict(zip(names, values, strict=True)))
        return {name for name, i in zip(names, genotype, strict=True) if i == INACTIVE}

    assert inactive(0, "mish", 8, False, 1, 2) == {"head.activation", "a.expand_groups"}
    assert inactive(16, "mish", 16, False, 6, 2) == {"a.skip"}
    assert inactive(16, "mish", 8, False, 6, 2) == set()
    # Head 1 + 2; block: (2 with skip or 1 without) times (1 + 2).
    assert size(space) == 3 * (2 + 1) * 3
    assert len({space.decode(g).digest() for g in everything(space)}) == 27


def test_of_equal_values_the_first_stands_for_all():
    space = space_from_yaml(
        "{stem: {channels: 8}, stages: {a: {channels: 8, expansion: {choice: [2.5, 3, 6]}}}}"
    )  # 8 * 2.5 channels are rounded to 24
    assert [space.canonical((i,)) for i in range(3)] == [(0,), (0,), (2,)]
    assert size(space) == 2


def test_a_depthwise_block_without_activation_is_the_simpler_family():
    space = space_from_yaml(
        "{stem: {channels: 8}, stages: {a: {channels: 8, op: {choice: [mbconv, dsconv]},"
        " activation: {choice: [relu, identity]}, skip: true, expansion: {choice: [1, 2]}}}}"
    )
    # mbconv with relu (2), identity and expansion 2; dsconv with relu; either with identity.
    assert size(space) == len(everything(space)) == 2 + 1 + 1 + 1
    same = [space.from_params({"a.op": op, "a.activation": "identity", "a.expansion": 1})
            for op in ("mbconv", "dsconv")]  # fmt: skip
    assert same[0] == same[1]


def test_tables_may_hold_kernels_as_numbers():
    space = space_from_yaml(
        "{stem: {channels: 8}, stages: {a: {channels: 8, kernels: {choice: [3, [3, 5], [3, 11]]}}}}"
    )
    assert [space.from_params({"a.kernels": k}) for k in (3.0, 3, 3.5, 3.11, "3.5")] == [
        (0,),
        (0,),
        (1,),
        (2,),
        (1,),
    ]


def test_a_variable_that_becomes_active_is_drawn_with_its_weights():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        stages:
          a: {depth: {choice: [1, 2]}, channels: 8,
              rest: {group_width: {range: [1, 64], scale: log}}}
        """
    )
    rng = random.Random(0)
    widths = [space.values(space.canonical((1, INACTIVE), rng))["a.rest.group_width"]
              for _ in range(2000)]  # fmt: skip
    # A width of 1 covers log(1.5 / 0.5) of log(64.5 / 0.5).
    assert widths.count(1) / 2000 == pytest.approx(math.log(3) / math.log(129), abs=0.03)


def test_membership_does_not_depend_on_classes():
    assert mixnet.contains(load_network("mixnet_m").replace(num_classes=10))
    assert mixnet.with_classes(10).decode(mixnet.draw(random.Random(0))).num_classes == 10


def test_draws_are_uniform_over_values():
    rng = random.Random(0)
    draws = [tiny.draw(rng) for _ in range(6000)]
    depth = tiny.index("a.depth")
    counts = Counter(g[depth] for g in draws)
    assert all(abs(counts[i] / 6000 - 1 / 3) < 0.03 for i in range(3))


@given(seeds)
def test_neighbours_differ_in_one_choice(seed):
    genotype = sample(tiny, random.Random(seed)).genotype
    members = everything(tiny)
    neighbours = list(tiny.neighbours(genotype))
    assert neighbours
    for other in neighbours:
        assert other in members
        assert other != genotype
        changed = [
            i
            for i, (a, b) in enumerate(zip(genotype, other, strict=True))
            if a != b and INACTIVE not in (a, b)
        ]
        assert len(changed) == 1


@given(seeds)
def test_moves_stay_in_the_space(seed):
    rng = random.Random(seed)
    one, two = mixnet.draw(rng), mixnet.draw(rng)
    for moved in (
        mixnet.mutate(one, rng),
        mixnet.crossover(one, two, rng),
    ):
        assert mixnet.canonical(moved) == moved
        assert mixnet.contains(mixnet.decode(moved))
    child = mixnet.crossover(one, one, rng)
    assert child == one


def test_mnasnet_holds_mobilenet_v2():
    space = load_space("mnasnet")
    spec = load_network("mobilenet_v2")
    assert space.decode(space.encode_spec(spec)) == spec
    rng = random.Random(0)
    families = {b.family for _ in range(20) for b in space.decode(space.draw(rng)).blocks}
    assert families == {"mbconv", "dsconv", "conv"}


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("op: res2net, channels: 64, base_width: 26, bottleneck_ratio: {choice: [2, 4, 8]}", 3),
        ("op: res2net, channels: 64, bottleneck_ratio: 2, base_width: {choice: [13, 26]}", 2),
        # 10 times a 64th of 16 or of 17 channels are both 2 whole channels.
        ("op: res2net, channels: 68, base_width: 10, bottleneck_ratio: {choice: [4, 4.25]}", 1),
        ("channels: 64, expansion: 3, se_ratio: 0.25, se_base: {choice: [input, middle]}", 2),
    ],
)
def test_a_field_that_can_do_what_another_does_is_a_choice(stage, number):
    text = f"{{name: s, stem: {{channels: 64}}, stages: {{a: {{depth: 1, {stage}}}}}}}"
    space = space_from_yaml(text)
    genotypes = {space.canonical((i,)) for i in range(len(space.variables[0].values))}
    assert len({space.decode(g).digest() for g in genotypes}) == len(genotypes) == number
    assert size(space) == number
    for genotype in genotypes:
        assert space.encode_spec(space.decode(genotype)) == genotype
