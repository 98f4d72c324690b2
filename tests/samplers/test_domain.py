import random

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.errors import LimitError, MixnasError
from nas.limits import COST_METRICS, parse_limits
from nas.samplers import ParameterDomain, SpaceDomain, distributions
from nas.space import INACTIVE, load_space, sample
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
LIMITS = parse_limits(["madds=300M..320M"])
PARAMETERS = {
    "depth": IntDistribution(1, 7, step=2),
    "rate": FloatDistribution(0.1, 0.7, step=0.1),
    "width": IntDistribution(8, 64, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
    "fixed": CategoricalDistribution([3]),
}
plain = ParameterDomain(PARAMETERS)
seeds = st.integers(0, 10**9)


@given(seeds)
def test_parameters_and_genotypes_are_inverse(seed):
    for domain in (plain, SpaceDomain(tiny), SpaceDomain(mixnet)):
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
    assert plain.variables() == [
        ("depth", 4, True),
        ("rate", 7, True),
        ("width", 57, True),
        ("kind", 3, False),
        ("fixed", 1, True),
    ]
    kinds = {name: (size, ordered) for name, size, ordered in SpaceDomain(mixnet).variables()}
    assert kinds["s2.depth"] == (4, True)
    assert kinds["s2.activation"] == (2, False)
    assert kinds["s2.first.kernels"] == (104, False)


def test_what_optuna_suggests_is_read():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(50):
        parameters = study.ask(PARAMETERS).params
        assert plain.to_parameters(plain.from_parameters(parameters)) == parameters


def test_steps_are_found_by_their_decimals():
    values = plain.view((0, 2, 0, 0, 0))
    assert values["rate"] != 0.3  # three steps of 0.1
    assert plain.from_parameters({**values, "rate": 0.3}) == (0, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (FloatDistribution(0, 1), "'x' has no finite set of values; give it a step, or choices"),
        (IntDistribution(0, 1000), "'x' has 1,001 values, 1,000 at most.*larger step"),
        (FloatDistribution(0, 1, step=1e-4), "'x' has 10,001 values"),
    ],
)
def test_parameters_of_too_many_values_are_refused(distribution, words):
    with pytest.raises(MixnasError, match=words):
        ParameterDomain({"x": distribution})


@given(seeds)
def test_a_mutation_changes_one_parameter_that_has_choices(seed):
    rng = random.Random(seed)
    genotype = plain.draw(rng)
    changed = plain.mutate(genotype, rng)
    assert sum(a != b for a, b in zip(genotype, changed, strict=True)) == 1
    assert changed[-1] == 0
    assert all(0 <= i < size for i, (_, size, _) in zip(changed, plain.variables(), strict=True))


def test_mutations_reach_every_other_value():
    domain = ParameterDomain({"x": IntDistribution(0, 4)})
    rng = random.Random(0)
    assert {domain.mutate((2,), rng) for _ in range(100)} == {(0,), (1,), (3,), (4,)}
    fixed = ParameterDomain({"x": CategoricalDistribution(["only"])})
    assert fixed.mutate((0,), rng) == (0,)


@given(seeds)
def test_children_take_every_variable_from_a_parent(seed):
    rng = random.Random(seed)
    one, two = plain.draw(rng), plain.draw(rng)
    child = plain.crossover(one, two, rng)
    assert all(c in pair for c, pair in zip(child, zip(one, two, strict=True), strict=True))
    assert SpaceDomain(tiny).crossover((0,) * 11, (0,) * 11, rng) == tiny.canonical((0,) * 11)


@given(seeds)
def test_what_is_feasible_is_drawn_and_repaired_to(seed):
    domain = ParameterDomain(PARAMETERS, feasible=lambda p: p["depth"] * 8 <= p["width"] / 2)
    rng = random.Random(seed)
    drawn = domain.draw(rng)
    anything = plain.draw(rng)
    repaired = domain.repair(anything, rng)
    assert domain.admits(drawn)
    assert domain.admits(repaired)
    assert repaired == anything or not domain.admits(anything)
    assert domain.admits(domain.walk(drawn, rng, 20))


def test_what_is_never_feasible_is_told():
    domain = ParameterDomain({"x": IntDistribution(0, 4)}, feasible=lambda p: False)
    with pytest.raises(LimitError, match="none of 10,000 draws is feasible; loosen"):
        domain.draw(random.Random(0))
    with pytest.raises(LimitError, match="none of 10,000 draws is feasible"):
        domain.repair((1,), random.Random(0))


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


def test_limits_on_latency_are_not_looked_at():
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


def test_known_costs_are_told_by_name():
    domain = SpaceDomain(mixnet)
    genotype = sample(mixnet, random.Random(0)).genotype
    cost = mixnet.cost(genotype)
    assert [known(genotype) for known in domain.covariates()] == [
        getattr(cost, metric) for metric in COST_METRICS
    ]
    assert domain.known("params")(genotype) == cost.params
    assert domain.known(sum) is sum
    assert domain.view(genotype) == genotype
    with pytest.raises(MixnasError, match=r"'flops' is no cost.*name one of params, madds"):
        domain.known("flops")
    with pytest.raises(MixnasError, match=r"no cost named 'madds'; give a function"):
        plain.known("madds")
    assert plain.covariates() == []


def test_parameters_are_encoded_in_order_or_one_hot():
    encoded = plain.encode([(0, 0, 0, 0, 0), (1, 3, 56, 2, 0)])
    assert encoded.shape == (2, 7)
    assert encoded[0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert encoded[1] == pytest.approx([1 / 3, 0.5, 1, 0, 0, 1, 0])
    # A logarithmic parameter counts factors: 8 to 16 is as far as 32 to 64.
    widths = plain.encode([(0, 0, width - 8, 0, 0) for width in (8, 16, 32, 64)])[:, 2]
    assert widths.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_distributions_hold_the_labels():
    found = distributions(tiny)
    assert list(found) == [v.name for v in tiny.variables]
    assert all(found[v.name].choices == v.labels for v in tiny.variables)
