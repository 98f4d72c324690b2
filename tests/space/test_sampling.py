import random
from collections import Counter

import pytest

from nas.cost import count
from nas.errors import LimitError
from nas.limits import parse_limits
from nas.space import INACTIVE, load_space, sample, size, space_from_yaml, space_names
from tests.space.test_space import TINY, everything, mixnet, tiny


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
    assert "Relax the limit on madds" in str(caught.value)
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
    with pytest.raises(LimitError, match="every block is compatible with its channels"):
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
    with pytest.raises(LimitError, match="satisfies its restrictions"):
        sample(space, random.Random(0))


@pytest.mark.parametrize("name", space_names())
def test_shipped_spaces_hold_networks_that_build(name):
    space = load_space(name)
    rng = random.Random(0)
    for _ in range(20):
        drawn = sample(space, rng)
        assert count(space.decode(drawn.genotype)) == drawn.cost
