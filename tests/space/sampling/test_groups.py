"""Draws group by group have the distribution of draws that are rejected as a whole."""

import random
import time
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from nas.limits import parse_limits
from nas.space import load_space, sample_many, space_from_yaml
from nas.space.sampling import admitted_networks
from nas.space.sampling.groups import GroupDraws, group_draws
from nas.space.sampling.particles import Particles

NARROW = """
name: narrow
stem: {channels: 8}
stages:
  s:
    depth: {choice: [1, 2]}
    channels: {range: [8, 24], step: 8, scale: log}
    each: {kernels: {choice: [3, 5, 7]}, expansion: {choice: [2, 3, 6]}}
  t:
    channels: {choice: [8, 16]}
    stride: 2
    kernels: {choice: [3, 5, 7]}
    split: {choice: [equal, exponential]}
restrictions:
  - (s.b0.kernels == 3) == (s.b0.expansion == 6)
  - (s.b1.kernels == 7) == (s.b1.expansion == 2)
  - s.channels < t.channels
"""
"""The widths of both stages are in one group, with t.split, whose effect depends on them."""


def even(space, drawn, limits=()):
    members, weights = admitted_networks(space, limits)
    counts = Counter(drawn)
    assert set(counts) <= set(members)
    likelihoods = np.array(weights) / sum(weights)
    return chisquare([counts[g] for g in members], likelihoods * len(drawn)).pvalue


def test_groups_are_drawn_as_rejection_would():
    space = space_from_yaml(NARROW)
    draws = GroupDraws(space)
    assert draws.restrict
    full = draws.full(np.random.default_rng(0), 4000)
    drawn = [space.canonical(row) for row in full.tolist()]
    assert not any(map(space.broken, drawn))
    assert even(space, drawn) > 1e-3


def test_a_group_over_several_sections_is_a_block_of_its_own():
    space = space_from_yaml(NARROW)
    blocks = [{space.variables[i].name for i in block} for block in GroupDraws(space).blocks()]
    names = {variable.name for variable in space.variables} - {"s.channels", "t.channels"}
    first = {name for name in names if name.startswith("s.")}
    assert blocks == [first, {"s.channels", "t.channels"} | names - first]


def test_populations_stay_even_with_groups():
    space = space_from_yaml(NARROW)
    everything = admitted_networks(space, [])[0]
    costs = sorted(space.cost(genotype).madds for genotype in everything)
    limits = parse_limits([f"madds={costs[len(costs) // 20]}"])
    drawn = [
        genotype
        for seed in range(4)
        for genotype in Particles(space, random.Random(seed), limits).lead(256)
    ]
    assert len(admitted_networks(space, limits)[0]) < len(everything) / 10
    assert even(space, drawn, limits) > 1e-3


def test_spaces_without_conditions_are_drawn_as_they_come():
    space = space_from_yaml(
        "{name: s, stem: {channels: {choice: [8, 16]}}, stages: {a: {channels: 8}}}"
    )
    draws = GroupDraws(space)
    assert not draws.restrict
    assert draws.blocks() == space.sections
    drawn = [make(np.random.default_rng(3), 20) for make in (draws.full, space.draw_full)]
    assert (drawn[0] == drawn[1]).all()


def test_groups_without_admitted_values_are_left_to_the_draws():
    space = space_from_yaml(
        """
        name: never
        stem: {channels: 8}
        stages: {a: {channels: 8, kernels: {choice: [3, 5]}, expansion: {choice: [2, 3]}}}
        restrictions: [max(a.kernels) < a.expansion]
        """
    )
    assert not GroupDraws(space).restrict


@pytest.mark.parametrize("limits", [[], ["madds=40M"]])
def test_many_restrictions_do_not_make_samples_slow(limits):
    space = load_space("nas_bench_macro")
    group_draws(space)  # prepared once
    start = time.process_time()
    found = sample_many(space, random.Random(0), 50, parse_limits(limits))
    assert time.process_time() - start < 5  # it took a minute
    assert all(sample.exact for sample in found)
    assert len({sample.genotype for sample in found}) > 25
