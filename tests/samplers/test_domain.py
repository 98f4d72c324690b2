"""The domain of a search space."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.limits import COST_METRICS, parse_limits
from nas.samplers import SpaceDomain, distributions
from nas.space import INACTIVE, load_space, sample
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
LIMITS = parse_limits(["madds=300M..320M"])


@given(st.integers(0, 10**9))
def test_parameters_and_genotypes_are_inverse(seed):
    for domain in (SpaceDomain(tiny), SpaceDomain(mixnet)):
        genotype = domain.draw(random.Random(seed))
        parameters = domain.to_parameters(genotype)
        assert domain.from_parameters(parameters) == genotype
        assert domain.canonical(genotype) == genotype
        assert list(parameters) == [name for name, _, _ in domain.variables()]
        for name, distribution in domain.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(parameters[name]))


def test_inactive_variables_take_their_first_label():
    domain = SpaceDomain(tiny)
    genotype = next(g for g in sorted(everything(tiny)) if INACTIVE in g)
    labels = domain.to_parameters(genotype)
    for variable, index in zip(tiny.variables, genotype, strict=True):
        assert labels[variable.name] == variable.labels[max(index, 0)]


def test_variables_say_which_have_an_order():
    kinds = {name: (size, ordered) for name, size, ordered in SpaceDomain(mixnet).variables()}
    assert kinds["s2.depth"] == (4, True)
    assert kinds["s2.activation"] == (2, False)
    assert kinds["s2.first.kernels"] == (104, False)


def test_children_are_canonical():
    assert SpaceDomain(tiny).crossover((0,) * 11, (0,) * 11, random.Random(0)) == tiny.canonical(
        (0,) * 11
    )


@given(st.integers(0, 10**6))
def test_networks_are_moved_inside_the_limits(seed):
    domain = SpaceDomain(mixnet, LIMITS)
    rng = random.Random(seed)
    drawn = mixnet.draw(rng)
    repaired = domain.repair(drawn, rng)
    assert domain.admits(repaired)
    assert 300e6 <= mixnet.cost(repaired).madds <= 320e6
    assert domain.repair(repaired, rng) == repaired
    walked = domain.walk(repaired, rng, 10)
    assert domain.admits(walked)


def test_limits_on_latency_are_ignored():
    domain = SpaceDomain(mixnet, parse_limits(["latency=1us"]))
    assert domain.admits(domain.draw(random.Random(0)))


def test_restrictions_are_kept():
    domain = SpaceDomain(tiny)
    members = everything(tiny)
    rng = random.Random(0)
    for _ in range(200):
        drawn = tiny.draw(rng)
        assert domain.admits(drawn) == (drawn in members)
        assert domain.repair(drawn, rng) in members


def test_exact_costs_have_names():
    domain = SpaceDomain(mixnet)
    genotype = sample(mixnet, random.Random(0)).genotype
    cost = mixnet.cost(genotype)
    assert [covariate(genotype) for covariate in domain.covariates()] == [
        getattr(cost, metric) for metric in COST_METRICS
    ]
    assert domain.cost_function("params")(genotype) == cost.params
    assert domain.cost_function(sum) is sum
    assert domain.view(genotype) == genotype
    with pytest.raises(MixnasError, match=r"'flops' is not an exact cost.*name one of params, mad"):
        domain.cost_function("flops")


def test_distributions_hold_the_labels():
    by_name = distributions(tiny)
    assert list(by_name) == [v.name for v in tiny.variables]
    assert all(by_name[v.name].choices == v.labels for v in tiny.variables)
