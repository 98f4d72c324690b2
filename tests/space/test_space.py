import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.space import (
    INACTIVE,
    load_space,
    sample,
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
    import dataclasses

    blocks[2][1] = dataclasses.replace(blocks[2][1], kernels=(5, 3))
    changed = spec.replace(stages=tuple(map(tuple, blocks)))
    with pytest.raises(MixnasError, match=r"stages\[2\]\[1\]: kernels is \[5, 3\], not among"):
        mixnet.encode_spec(changed)
    with pytest.raises(MixnasError, match="7 stages, but the space has 6"):
        mixnet.encode_spec(load_network("mobilenet_v2"))
    with pytest.raises(MixnasError, match="padding is same"):
        mixnet.encode_spec(spec.replace(padding="same"))
    blocks[2][1] = dataclasses.replace(spec.stages[2][1], expansion=3)
    with pytest.raises(MixnasError, match="elsewhere in the network"):
        mixnet.encode_spec(spec.replace(stages=tuple(map(tuple, blocks))))


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
        mixnet.redraw(one, rng),
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
