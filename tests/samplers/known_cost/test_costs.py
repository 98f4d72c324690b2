from math import inf

import numpy as np
import pytest
from optuna.distributions import IntDistribution

from nas.errors import MixnasError
from nas.limits import Limit
from nas.samplers import ParameterDomain, SpaceDomain
from nas.samplers.known_cost.costs import KnownValues, LearnedCost
from tests.space.test_space import everything, tiny

domain = ParameterDomain({name: IntDistribution(0, 9) for name in "ab"})


class Learned:
    """A multiple of the sum, with a factor that is learned from the number of trials."""

    def __init__(self):
        self.factor, self.uncertainty = 1.0, inf

    def learn_from(self, past):
        before, self.factor = self.factor, 1.0 + len(past)
        self.uncertainty = 0.25 if past else inf
        return self.factor != before

    def __call__(self, parameters):
        return self.factor * sum(parameters.values())


def test_costs_come_first_then_covariates():
    known = KnownValues(domain, [lambda p: p["a"], lambda p: p["b"] - 5], [lambda p: 100])
    assert known.n_costs == 2
    assert known.values([(1, 2), (3, 4)]).tolist() == [[1, -3, 100], [3, -1, 100]]
    assert known.costs([(1, 2), (3, 4)]).tolist() == [[1, -3], [3, -1]]
    assert known.values([]).shape == (0, 3)


def test_the_exact_costs_of_a_space_are_covariates_as_well():
    known = KnownValues(SpaceDomain(tiny), ["madds"])
    genotype = min(everything(tiny))
    cost = tiny.cost(genotype)
    assert known.values([genotype]).tolist() == [
        [cost.madds, cost.params, cost.madds, cost.activations, cost.peak_memory]
    ]
    with pytest.raises(MixnasError, match="'flops' is not an exact cost"):
        KnownValues(SpaceDomain(tiny), ["flops"])


def test_a_genotype_is_evaluated_once():
    calls = []
    known = KnownValues(domain, [lambda p: calls.append(p) or 1.0])
    known.values([(1, 2), (1, 2), (3, 4)])
    known.costs([(3, 4), (1, 2)])
    assert calls == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_values_that_are_not_finite_are_reported(value):
    known = KnownValues(domain, [lambda p: 0.0, lambda p: value])
    with pytest.raises(MixnasError, match=r"cost 2 of \{'a': 1, 'b': 2\} is .*; it must be a fin"):
        known.costs([(1, 2)])
    known = KnownValues(domain, [lambda p: 0.0], [lambda p: value])
    with pytest.raises(MixnasError, match=r"a covariate of \{'a': 1, 'b': 2\} is "):
        known.costs([(1, 2)])


def test_violations_are_relative_to_the_bound_and_summed():
    known = KnownValues(
        domain,
        [lambda p: p["a"], lambda p: p["b"]],
        cost_limits={0: [Limit("latency", 4, 6)], 1: [Limit("latency", upper=2)]},
    )
    violations = known.violations([(4, 0), (6, 2), (9, 2), (2, 0), (9, 3)])
    assert violations.tolist() == pytest.approx([0, 0, 3 / 6, 2 / 4, 3 / 6 + 1 / 2])
    assert KnownValues(domain, [sum]).violations([]).shape == (0,)


def test_it_can_be_enough_to_keep_the_limits_of_one_cost():
    costs = [lambda p: p["a"], lambda p: p["b"]]
    limits = {0: [Limit("latency", 4, 6)], 1: [Limit("latency", upper=2)]}
    known = KnownValues(domain, costs, cost_limits=limits, limits_of_one=True)
    violations = known.violations([(4, 0), (6, 2), (9, 2), (2, 0), (9, 3), (2, 4)])
    assert violations.tolist() == pytest.approx([0, 0, 0, 0, 1 / 2, 2 / 4])
    free = KnownValues(domain, costs, cost_limits={0: limits[0]}, limits_of_one=True)
    assert free.violations([(9, 3)]).tolist() == [0]


def test_a_learned_cost_changes_its_values_and_counts_as_far_as_it_is_known():
    learned = Learned()
    assert isinstance(learned, LearnedCost)
    assert not isinstance(sum, LearnedCost)
    known = KnownValues(domain, [learned], cost_limits={0: [Limit("latency", upper=4)]})
    known.learn_from([])
    assert known.costs([(2, 3)]).tolist() == [[5]]
    assert known.violations([(2, 3)]).tolist() == [0]
    known.learn_from([None])
    assert known.costs([(2, 3)]).tolist() == [[10]]
    # Of limit 4: 10 may be 8, and 6 may be 4.8; 4 may be less.
    assert known.violations([(2, 3), (1, 2), (1, 1)]) == pytest.approx(np.array([1.0, 0.2, 0]))
    least = KnownValues(domain, [learned], cost_limits={0: [Limit("latency", 20, None)]})
    assert least.violations([(2, 3), (3, 5), (4, 4)]) == pytest.approx(
        np.array([1 - 12.5 / 20, 0, 0])
    )
