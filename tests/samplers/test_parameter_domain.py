"""The domain of plain Optuna parameters."""

import random

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.errors import LimitError, MixnasError
from nas.samplers import ParameterDomain
from nas.space import INACTIVE

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
    genotype = plain.draw(random.Random(seed))
    parameters = plain.to_parameters(genotype)
    assert plain.from_parameters(parameters) == genotype
    assert plain.canonical(genotype) == genotype
    assert list(parameters) == list(PARAMETERS)
    for name, distribution in plain.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(parameters[name]))


def test_variables_say_which_have_an_order():
    assert plain.variables() == [
        ("depth", 4, True),
        ("rate", 7, True),
        ("width", 57, True),
        ("kind", 3, False),
        ("fixed", 1, True),
    ]


def test_suggestions_of_optuna_are_parsed():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(50):
        parameters = study.ask(PARAMETERS).params
        assert plain.to_parameters(plain.from_parameters(parameters)) == parameters


def test_steps_are_found_by_their_decimals():
    values = plain.view((0, 2, 0, 0, 0))
    assert values["rate"] != 0.3  # 0.1 + 2 * 0.1 is another float
    assert plain.from_parameters({**values, "rate": 0.3}) == (0, 2, 0, 0, 0)


def test_values_outside_a_distribution_are_not_found():
    values = plain.view((0, 0, 0, 0, 0))
    with pytest.raises(KeyError):
        plain.from_parameters({**values, "depth": 2})  # between two steps
    with pytest.raises(LookupError, match="parameter 'rate' has no value"):
        plain.from_parameters({"depth": 1})
    with pytest.raises(LookupError):
        plain.from_parameters({}, partial=True)
    assert plain.from_parameters({"depth": 3}, partial=True) == (1, *[INACTIVE] * 4)


def test_the_last_step_does_not_exceed_the_upper_bound():
    domain = ParameterDomain({"x": FloatDistribution(0.0, 0.3, step=0.1)})
    assert [domain.view((i,))["x"] for i in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert domain.view((3,))["x"] <= 0.3  # 3 * 0.1 is larger


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (FloatDistribution(0, 1), "'x' has no finite set of values; give it a step, or use a cat"),
        (IntDistribution(0, 10**12), "'x' has 1,000,000,000,001 values, but at most 1,000"),
        (FloatDistribution(0, 1, step=1e-12), "'x' has 1,000,000,000,001 values, but at most"),
        (IntDistribution(0, 1000), "'x' has 1,001 values, but at most 1,000.*larger step"),
        (FloatDistribution(0, 1, step=1e-4), "'x' has 10,001 values"),
    ],
)
def test_parameters_with_too_many_values_are_refused(distribution, words):
    with pytest.raises(MixnasError, match=words):
        ParameterDomain({"x": distribution})


def test_a_thousand_values_are_allowed():
    assert ParameterDomain({"x": IntDistribution(0, 999)}).variables() == [("x", 1000, True)]


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


def test_children_take_about_half_of_each_parent():
    domain = ParameterDomain({f"x{i}": IntDistribution(0, 1) for i in range(400)})
    child = domain.crossover((0,) * 400, (1,) * 400, random.Random(0))
    assert 160 < sum(child) < 240


@given(seeds)
def test_draws_and_repairs_are_feasible(seed):
    domain = ParameterDomain(PARAMETERS, feasible=lambda p: p["depth"] * 8 <= p["width"] / 2)
    rng = random.Random(seed)
    drawn = domain.draw(rng)
    anything = plain.draw(rng)
    repaired = domain.repair(anything, rng)
    assert domain.admits(drawn)
    assert domain.admits(repaired)
    assert repaired == anything or not domain.admits(anything)
    assert domain.admits(domain.walk(drawn, rng, 20))


def test_a_condition_that_is_never_met_is_reported():
    small = ParameterDomain({"x": IntDistribution(0, 4)}, feasible=lambda p: False)
    with pytest.raises(LimitError, match="no assignment of the parameters is feasible; relax"):
        small.draw(random.Random(0))
    with pytest.raises(LimitError, match="no assignment of the parameters is feasible"):
        small.repair((1,), random.Random(0))
    digits = {name: IntDistribution(0, 9) for name in "abcdef"}
    large = ParameterDomain(digits, feasible=lambda p: False)
    with pytest.raises(LimitError, match="none of 10,000 draws is feasible; relax"):
        large.draw(random.Random(0))


def test_parameters_are_encoded_in_order_or_one_hot():
    encoded = plain.encode([(0, 0, 0, 0, 0), (1, 3, 56, 2, 0)])
    assert encoded.shape == (2, 7)
    assert encoded[0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert encoded[1] == pytest.approx([1 / 3, 0.5, 1, 0, 0, 1, 0])
    # A logarithmic parameter counts factors: 8 to 16 is as far as 32 to 64.
    widths = plain.encode([(0, 0, width - 8, 0, 0) for width in (8, 16, 32, 64)])[:, 2]
    assert widths.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_numeric_categories_have_an_order_if_they_are_sorted():
    choices = [16, 24, 32, 48]
    domain = ParameterDomain({
        "width": CategoricalDistribution(choices),
        "mixed": CategoricalDistribution([3, "auto"]),
        "on": CategoricalDistribution([False, True]),
    })  # fmt: skip
    encoded = domain.encode([(i, 0, 0) for i in range(4)])
    assert encoded[:, 0].tolist() == [0, 0.25, 0.5, 1]
    assert encoded.shape == (4, 1 + 2 + 2)
    assert [ordered for _, _, ordered in domain.variables()] == [True, False, False]
    falling = ParameterDomain({"width": CategoricalDistribution(choices[::-1])})
    assert falling.variables() == [("width", 4, False)]


def test_costs_are_functions_and_have_no_names():
    assert plain.cost_function(sum) is sum
    assert plain.covariates() == []
    with pytest.raises(MixnasError, match=r"no cost named 'madds'; pass a function"):
        plain.cost_function("madds")
