"""The population that is led towards limits, against exact frequencies."""

import random

import numpy as np
import pytest
from scipy.stats import ks_2samp

from nas.limits import parse_limits
from nas.space import space_from_yaml
from nas.space.sampling import particles
from nas.space.sampling.particles import Particles
from nas.space.sampling.violation import limit_violation, violations
from tests.space.sampling.test_drawing import CONDITIONAL, PLAIN, limited, p_value
from tests.space.test_space import mixnet


@pytest.mark.parametrize("text", [PLAIN, CONDITIONAL], ids=["plain", "cond"])
def test_members_are_even_over_what_limits_admit(text):
    space, limits, members, likelihoods = limited(text, 0.1)
    drawn = [g for seed in range(40) for g in Particles(space, random.Random(seed), limits).lead(5)]
    assert p_value(drawn, members, likelihoods) > 1e-3


def test_members_of_mixnet_are_those_of_rejection_sampling():
    limits = parse_limits(["madds=140M"])
    drawn = [
        mixnet.cost(g).madds
        for seed in range(12)
        for g in Particles(mixnet, random.Random(seed), limits).lead(10)
    ]
    full = mixnet.draw_full(np.random.default_rng(1), 60_000)
    inside = full[violations(mixnet.cost_tables, full, limits) == 0]
    accepted = [mixnet.cost(mixnet.canonical(row)).madds for row in inside.tolist()]
    assert len(accepted) > 300
    assert ks_2samp(drawn, accepted).pvalue > 1e-3


def test_networks_are_reached_that_no_draw_meets():
    limits = parse_limits(["madds=52M"])
    (genotype,) = Particles(mixnet, random.Random(0), limits).lead()
    assert limit_violation(mixnet, genotype, limits)[0] == 0


def test_more_networks_than_members_repeat_them(monkeypatch):
    monkeypatch.setattr(particles, "MEMBERS", 16)
    limits = parse_limits(["madds=300M"])
    assert len(Particles(mixnet, random.Random(0), limits).lead(40)) == 40


def test_limits_that_are_not_reached_give_nothing(monkeypatch):
    monkeypatch.setattr(particles, "LEVELS", 4)
    assert Particles(mixnet, random.Random(0), parse_limits(["madds=1M"])).lead() == []


def test_restrictions_are_kept_without_tables():
    space = space_from_yaml(
        """
        name: derived
        stem: {channels: 16}
        derive: {depth: {range: [2, 12]}, w0: {range: [8, 64], step: 8},
                 wa: {range: [8, 64], step: 8}, wm: {choice: [1.5, 2.0, 2.5]}}
        stages: {a: {stride: 2}, b: {stride: 2}, c: {stride: 2}}
        """
    )
    assert space.cost_tables is None
    for genotype in Particles(space, random.Random(0), ()).lead(5):
        assert space.broken(genotype) == []
