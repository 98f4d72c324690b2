import itertools
import random

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from scipy.stats import chisquare

from nas.errors import LimitError
from nas.samplers import ParameterDomain
from nas.samplers.known_cost.candidates import (
    CHILDREN,
    POOL,
    RENEWED,
    CandidatePool,
    best_scored,
    children,
    differences,
    most_different,
    spread_position,
)

DIGITS = {name: IntDistribution(0, 9) for name in "abcdef"}


def small_sums(parameters):
    return sum(parameters.values()) <= 12


def test_a_pool_is_filled_and_then_renewed_in_part():
    domain = ParameterDomain(DIGITS, feasible=small_sums)
    pool = CandidatePool(domain)
    assert pool.genotypes == []
    pool.renew(random.Random(0))
    before = list(pool.genotypes)
    assert len(before) == POOL
    assert len(set(before)) > 0.9 * POOL
    pool.renew(random.Random(1))
    changed = sum(a != b for a, b in zip(before, pool.genotypes, strict=True))
    assert 0.8 * RENEWED < changed <= RENEWED
    assert all(domain.admits(g) for g in [*before, *pool.genotypes])


def test_a_pool_depends_on_the_generator_alone():
    one, two = (CandidatePool(ParameterDomain(DIGITS)) for _ in range(2))
    for pool in (one, two):
        pool.renew(random.Random(5))
        pool.renew(random.Random(6))
    assert one.genotypes == two.genotypes


def test_a_pool_that_cannot_be_filled_is_reported():
    pool = CandidatePool(ParameterDomain(DIGITS, feasible=lambda p: False))
    with pytest.raises(LimitError, match="none of 10,000 draws"):
        pool.renew(random.Random(0))


def test_a_pool_is_even_over_what_is_admitted():
    domain = ParameterDomain({"a": IntDistribution(0, 9)}, feasible=lambda p: p["a"] < 6)
    counts = np.zeros(6)
    for seed in range(10):
        pool = CandidatePool(domain)
        pool.renew(random.Random(seed))
        for (index,) in pool.genotypes:
            counts[index] += 1
    assert chisquare(counts).pvalue > 1e-3


def test_children_of_one_parent_differ_from_it_in_one_or_two_variables():
    domain = ParameterDomain(DIGITS)
    parent = (5,) * 6
    found = children(domain, [parent], random.Random(0))
    apart = [differences(parent, child) for child in found]
    assert set(apart) <= {0, 1, 2}  # 0: the second mutation undid the first
    assert apart.count(1) > 20
    assert apart.count(2) > 20
    assert len(found) == len(set(found)) <= CHILDREN


def test_children_cross_their_parents_and_stay_within_the_limits():
    domain = ParameterDomain(DIGITS, feasible=small_sums)
    parents = [(4, 4, 4, 0, 0, 0), (0, 0, 0, 4, 4, 4)]
    found = children(domain, parents, random.Random(0))
    assert all(domain.admits(child) for child in found)
    nearest = [min(differences(p, child) for p in parents) for child in found]
    assert max(nearest) > 2  # more than two mutations


def test_an_even_spread_halves_the_gaps():
    assert [spread_position(i) for i in range(9)] == [
        0, 1, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875
    ]  # fmt: skip
    # The ends and n - 1 intermediate positions: gaps of 1 / n exactly.
    positions = sorted(spread_position(i) for i in range(65))
    assert {b - a for a, b in itertools.pairwise(positions)} == {1 / 64}


def test_the_best_come_first_and_ties_keep_their_order():
    scores = {(0,): 1.0, (1,): 3.0, (2,): -1.0, (3,): 3.0}
    assert best_scored(scores, 3) == [(1,), (3,), (0,)]
    assert best_scored(scores, 9) == [(1,), (3,), (0,), (2,)]
    assert best_scored({}, 2) == []


def test_differences_are_counted_by_variable():
    assert differences((0, 1, -1), (0, 2, 3)) == 2
    assert differences((4, 4), (4, 4)) == 0


def test_the_most_different_is_farthest_from_the_nearest():
    rng = random.Random(0)
    tried = [(0, 0, 0), (1, 1, 1)]
    assert most_different([(0, 0, 2), (2, 2, 0), (2, 2, 2), (1, 1, 2)], tried, rng) == (2, 2, 2)
    equals = {most_different([(0, 0, 2), (1, 2, 1)], tried, rng) for _ in range(30)}
    assert equals == {(0, 0, 2), (1, 2, 1)}
    assert most_different([(5, 5, 5)], [], rng) == (5, 5, 5)


def test_a_third_of_the_children_are_crossed_and_a_third_mutated_twice():
    class Counting:
        crossed = mutated = 0

        def crossover(self, one, other, rng):
            self.crossed += 1
            return one

        def mutate(self, genotype, rng):
            self.mutated += 1
            return (*genotype[:1], self.mutated)

        def admits(self, genotype):
            return True

    domain = Counting()
    assert len(children(domain, [(1, 0)], random.Random(0))) == CHILDREN == 160
    # Of 160: 30% crossed, within four deviations; 35% mutated once more.
    assert domain.crossed == pytest.approx(48, abs=23)
    assert domain.mutated - 160 == pytest.approx(56, abs=24)
