import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cost import count
from nas.errors import DocumentError, LimitError, MixnasError
from nas.limits import parse_limits
from nas.space import (
    INACTIVE,
    encode,
    feature_names,
    load_space,
    sample,
    size,
    space_from_yaml,
    space_names,
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


def test_size_is_exact():
    assert size(tiny) == len(everything(tiny))


def test_size_of_mixnet_by_hand():
    # A block: 104 mixes (103, and the ladder's 3.5.7.9.11), 3 expansions, 2 x 2 groups.
    block = 104 * 3 * 2 * 2
    stage1 = 3 * 2 * 3 * (block + 2 * block**2)  # channels, activation, SE; depth 1, 2 or 3
    stages = (4 * 2 * 3 * (block + 3 * block**2)) ** 4
    assert size(mixnet) == 3 * stage1 * stages


def test_membership_says_where_a_network_leaves_the_space():
    spec = load_network("mixnet_m")
    blocks = [list(stage) for stage in spec.stages]
    import dataclasses

    blocks[2][1] = dataclasses.replace(blocks[2][1], kernels=(5, 3))
    changed = spec.replace(stages=tuple(map(tuple, blocks)))
    with pytest.raises(MixnasError, match=r"stages\[2\]\[1\]: kernels is \[5, 3\], not among"):
        mixnet.encode_spec(changed)
    with pytest.raises(MixnasError, match="7 stages, the space has 6"):
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


def test_sampling_reaches_all_members_evenly():
    rng = random.Random(0)
    members = everything(tiny)
    # Variables that are inactive make some genotypes likelier, so evenness is asked of networks
    # that have all of them.
    counts = Counter(sample(tiny, rng).genotype for _ in range(40 * len(members)))
    assert set(counts) == members
    full = [n for genotype, n in counts.items() if INACTIVE not in genotype]
    mean = sum(full) / len(full)
    assert all(abs(n - mean) < 6 * mean**0.5 for n in full)


def test_the_same_seed_draws_the_same():
    limits = parse_limits(["madds=390M..400M"])
    one = [sample(mixnet, random.Random(7), limits).genotype for _ in range(3)]
    assert len(set(one)) == 1


@pytest.mark.parametrize(
    "texts",
    [
        ["madds=390M..400M"],
        ["madds=1G..2G"],
        ["madds=395M..395.05M"],
        ["madds=200M..210M", "params=2M..2.1M"],
        ["peak_memory=7M", "activations=5M"],
    ],
)
def test_samples_meet_their_limits(texts):
    limits = parse_limits(texts)
    rng = random.Random(0)
    for _ in range(5):
        drawn = sample(mixnet, rng, limits)
        cost = count(mixnet.decode(drawn.genotype))
        assert cost == drawn.cost
        assert all(limit.violation(getattr(cost, limit.metric)) == 0 for limit in limits)


def test_impossible_limits_are_told_with_the_nearest():
    rng = random.Random(0)
    with pytest.raises(LimitError, match=r"the nearest has madds = 45\.4M") as caught:
        sample(mixnet, rng, parse_limits(["madds=10M"]))
    assert "Widen the limit on madds" in str(caught.value)
    with pytest.raises(LimitError, match="no network of 'mixnet' was found with"):
        sample(mixnet, rng, parse_limits(["madds=300M..310M", "params=9M.."]))


def test_combinations_that_do_not_fit_are_not_drawn():
    # 8 channels cannot be split exponentially over 5 groups, 32 can.
    space = space_from_yaml(
        """
        name: partial
        stem: {channels: 8}
        stages:
          a: {channels: 16, split: exponential, expansion: {choice: [1, 2, 3, 4]},
              kernels: {choice: [[3], [5], [7], [3, 5, 7, 9, 11]]}}
        """
    )
    rng = random.Random(0)
    drawn = {sample(space, rng).genotype for _ in range(200)}
    assert len(drawn) == 4 * 4 - 1
    impossible = space_from_yaml(
        "{name: none_fits, stem: {channels: 4}, stages: {a: {channels: {choice: [4, 8]}, "
        "expansion: 1, project_groups: 8}}}"
    )
    with pytest.raises(LimitError, match="every block fits its channels"):
        sample(impossible, rng)


def test_a_space_without_choices_has_one_network():
    space = space_from_yaml("{name: one, stem: {channels: 8}, stages: {a: {channels: 8}}}")
    assert size(space) == 1
    genotype = sample(space, random.Random(0)).genotype
    assert space.mutate(genotype, random.Random(0)) == genotype
    with pytest.raises(LimitError, match="the nearest has madds"):
        sample(space, random.Random(0), parse_limits(["madds=1k"]))


def test_impossible_restrictions_are_told():
    space = space_from_yaml(TINY.replace("<= 4", "<= 1"))
    with pytest.raises(LimitError, match="keeps its restrictions"):
        sample(space, random.Random(0))


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


@given(seeds)
def test_encoding_tells_genotypes_apart(seed):
    rng = random.Random(seed)
    one = mixnet.draw(rng)
    two = mixnet.mutate(one, rng)
    features = encode(mixnet, one)
    assert features.shape == (len(feature_names(mixnet)),)
    assert ((features >= 0) & (features <= 1)).all()
    assert not np.array_equal(features, encode(mixnet, two))


def test_encoding_by_hand():
    names = feature_names(mixnet)
    features = dict(
        zip(names, encode(mixnet, mixnet.encode_spec(load_network("mixnet_s"))), strict=True)
    )
    shares = [features[f"s5.first.kernels:{k}x{k}"] for k in (3, 5, 7, 9, 11)]
    assert shares == pytest.approx([0.2] * 5)
    assert features["s2.depth"] == 1.0
    assert features["s1.depth"] == 0.5
    assert (features["s2.activation=relu"], features["s2.activation=swish"]) == (0, 1)


@pytest.mark.parametrize("name", space_names())
def test_shipped_spaces_hold_networks_that_build(name):
    space = load_space(name)
    rng = random.Random(0)
    for _ in range(20):
        drawn = sample(space, rng)
        assert count(space.decode(drawn.genotype)) == drawn.cost


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("depth: {choice: [1, 2]}", "depht: 3", r"unknown key 'depht' \(did you mean 'depth'\?\)"),
        ("$w", "$width", "unknown variable 'width'"),
        ("{w: {choice: [8, 16]}}", "{w: {choice: [8, 16]}, x: {choice: [1, 2]}}", "never used"),
        ("kernels: 3", "kernels: 4", "kernel 4 is not possible"),
        ("channels: {choice: [16, 24]}", "", "'channels' is missing"),
        ("{choice: [3, 5, 7]}", "{groups: 6, of: [3]}", "allowed: 1 to 5 groups"),
        ("a.depth + b.depth", "a.depth + c.depth", "unknown variable 'c.depth'"),
        ("name: tiny", "name: tiny\nlimits: {madds: lots}", "is not a count"),
        ("name: tiny", "name: tiny\nstrides: 2", "unknown key 'strides'"),
        ("mbconv, conv", "mbconv, cnv", "unknown value 'cnv'"),
        ("stride: 2", "stride: 3", "stride: input should be less than or equal to 2; found 3"),
        ("stride: 2", "stride: true", "stride: input should be a valid integer; found True"),
        ("choice: [8, 16]}}\nstages", "choice: [8, true]}}\nstages", "valid integer; found True"),
        ("first: {expansion: {choice: [2, 3]}}", "first: 5", "first: is a mapping of fields"),
        ("each: {kernels: {choice: [3, 5, 7]}}", "each: 5", "each: is a mapping of fields"),
        ("first: {expansion", "first: {kernels: 5, expansion", "is given in 'each' as well"),
        ("  b:", "  stem:", "'stem' already means something else here"),
        ("  b:", "  b.c:", "'b.c' is no name"),
        ("name: tiny", "name: ../tiny", "'../tiny' is no name"),
        ("{choice: [16, 24]}", "{times: [.inf], of: 8}", "finite number"),
        ("kernels: 3", "kernels: {times: [1, 2]}", "relative to what"),
        (
            "name: tiny",
            "name: tiny\nlimits: {madds: null}",
            "valid string; found None|madds: input",
        ),
        ("name: tiny", "name: tiny\nlimits: {madds: 1e400}", "too large|inf"),
        (
            "op: {choice: [mbconv, conv]}",
            "op: conv",
            "unknown key 'expansion'; allowed: activation, kernels, skip$",
        ),
    ],
)
def test_bad_documents(old, new, words):
    assert old in TINY
    with pytest.raises(DocumentError, match=words):
        space_from_yaml(TINY.replace(old, new, 1))
