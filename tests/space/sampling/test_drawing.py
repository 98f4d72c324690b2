"""Sampling within limits: even, bounded in time, and with true statements where there is none."""

import random
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp

from nas.cost import count
from nas.errors import LimitError
from nas.limits import parse_limits
from nas.space import sample, sample_many, size, space_from_yaml
from nas.space.sampling import admitted_networks
from nas.space.sampling.violation import violations
from tests.space.test_space import TINY, everything, mixnet, tiny

PLAIN = """
name: plain
stem: {channels: 8}
stages:
  s: {channels: {choice: [8, 16, 24, 32, 40, 48]}, expansion: {choice: [2, 3, 4, 5, 6, 7]}}
  t: {channels: {choice: [8, 16, 24, 32, 40, 48]}, stride: 2}
"""
CONDITIONAL = """
name: conditional
stem: {channels: 8}
stages:
  s:
    channels: {choice: [8, 16, 24]}
    depth: {choice: [1, 2, 3]}
    first: {expansion: {choice: [2, 4]}}
    rest: {expansion: {choice: [2, 3]}, se_ratio: {choice: [0, 0.5]}}
  t:
    channels: {choice: [8, 16]}
    stride: 2
    depth: {choice: [1, 2]}
    rest: {kernels: {choice: [[3], [5], [7, 9]]}}
restrictions: [s.channels >= t.channels]
"""
WEIGHTED = """
name: weighted
stem: {channels: {range: [8, 64], step: 8, scale: log}}
stages: {s: {channels: {range: [8, 128], step: 8, scale: log}, expansion: {choice: [2, 3]}}}
"""


def limited(text, share):
    """Return a space, a limit that a share of its networks meet, those, and their likelihoods."""
    space = space_from_yaml(text)
    costs = sorted(space.cost(genotype).madds for genotype in admitted_networks(space, [])[0])
    limits = parse_limits([f"madds={costs[int(share * len(costs))]}"])
    members, weights = admitted_networks(space, limits)
    return space, limits, members, np.array(weights) / sum(weights)


def p_value(drawn, members, likelihoods):
    counts = Counter(drawn)
    assert set(counts) <= set(members)
    return chisquare([counts[g] for g in members], likelihoods * len(drawn)).pvalue


@pytest.mark.parametrize("text", [PLAIN, CONDITIONAL, WEIGHTED], ids=["plain", "cond", "log"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_samples_are_even_over_what_limits_admit(text, share):
    space, limits, members, likelihoods = limited(text, share)
    assert share / 2 < len(members) / len(admitted_networks(space, [])[0]) < 2 * share
    rng = random.Random(0)
    drawn = [sample(space, rng, limits).genotype for _ in range(12 * len(members))]
    assert p_value(drawn, members, likelihoods) > 1e-3
    many = [s.genotype for s in sample_many(space, rng, 60 * len(members), limits)]
    assert p_value(many, members, likelihoods) > 1e-3


def test_without_conditions_and_weights_all_networks_are_equally_likely():
    _, _, members, likelihoods = limited(PLAIN, 0.5)
    assert 100 < len(members) < 116  # of 216
    assert likelihoods == pytest.approx(np.full(len(members), 1 / len(members)))


@pytest.mark.parametrize("texts", [["madds=200M"], ["madds=390M..400M"]])
def test_samples_of_mixnet_are_those_of_rejection_sampling(texts):
    limits = parse_limits(texts)
    drawn = sample_many(mixnet, random.Random(1), 300, limits)
    assert all(s.exact for s in drawn)
    full = mixnet.draw_full(np.random.default_rng(1), 30_000)
    inside = full[violations(mixnet.cost_tables, full, limits) == 0]
    accepted = [mixnet.cost(mixnet.canonical(row)) for row in inside[:1500].tolist()]
    for metric in ("madds", "params", "activations"):
        found = [getattr(s.cost, metric) for s in drawn]
        expected = [getattr(cost, metric) for cost in accepted]
        assert ks_2samp(found, expected).pvalue > 1e-3


def test_draws_alone_are_even_where_there_are_no_tables(monkeypatch):
    space, limits, members, likelihoods = limited(PLAIN, 0.5)
    monkeypatch.setattr(type(space), "cost_tables", None)
    drawn = [s.genotype for s in sample_many(space, random.Random(0), 2000, limits)]
    assert p_value(drawn, members, likelihoods) > 1e-3


def test_all_members_are_reached():
    members = everything(tiny)
    drawn = {s.genotype for s in sample_many(tiny, random.Random(0), 40 * len(members))}
    assert drawn == members


def test_the_rarest_networks_are_found_without_exactness():
    drawn = sample(mixnet, random.Random(0), parse_limits(["madds=58M"]))
    assert not drawn.exact
    assert drawn.cost.madds <= 58e6


def test_small_spaces_without_a_network_say_so_for_certain():
    space, _, _, _ = limited(PLAIN, 0.5)
    with pytest.raises(LimitError, match="no network of 'plain' has madds <= 1k; the nearest has"):
        sample(space, random.Random(0), parse_limits(["madds=1k"]))


def test_a_member_that_hardly_any_draw_meets_is_found_in_a_small_space():
    space, _, members, _ = limited(WEIGHTED, 0.999)
    largest = max(members, key=lambda genotype: space.cost(genotype).madds)
    limits = parse_limits([f"madds={space.cost(largest).madds}.."])
    drawn = [sample(space, random.Random(seed), limits) for seed in range(3)]
    assert [s.genotype for s in drawn] == [largest] * 3
    assert all(s.exact for s in drawn)


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
    with pytest.raises(LimitError, match="4 channels cannot be split over 8 groups"):
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
