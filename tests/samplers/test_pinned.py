import random

import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.errors import LimitError
from nas.limits import parse_limits
from nas.samplers import ParameterDomain, SpaceDomain
from nas.samplers.pinned import PinnedDomain
from nas.space import INACTIVE, load_space
from tests.space.test_space import everything, tiny

PARAMETERS = {
    "a": IntDistribution(0, 9),
    "b": IntDistribution(0, 9),
    "kind": CategoricalDistribution(["x", "y", "z"]),
}
plain = ParameterDomain(PARAMETERS, feasible=lambda p: p["a"] <= p["b"])
pinned = PinnedDomain(plain, {1: 4})


def test_everything_proposed_has_the_fixed_value():
    rng = random.Random(0)
    drawn = [pinned.draw(rng) for _ in range(50)]
    assert {g[1] for g in drawn} == {4}
    assert {g[0] for g in drawn} == {0, 1, 2, 3, 4}
    children = [pinned.mutate(g, rng) for g in drawn] + [pinned.crossover(*drawn[:2], rng)]
    assert {g[1] for g in children} == {4}
    assert pinned.repair((9, 9, 0), rng)[1] == 4
    assert pinned.admits(pinned.repair((9, 9, 0), rng))
    assert not pinned.admits((0, 5, 0))
    assert not pinned.admits((5, 4, 0))


def test_members_and_neighbors_are_those_with_the_value():
    assert pinned.members() == [(a, 4, kind) for a in range(5) for kind in range(3)]
    assert set(pinned.neighbours((0, 4, 0))) == {
        *((a, 4, 0) for a in range(1, 10)),
        (0, 4, 1),
        (0, 4, 2),
    }


def test_the_rest_is_that_of_the_whole_domain():
    assert pinned.variables() == plain.variables()
    assert list(pinned.order()) == [0, 1, 2]
    assert pinned.view((1, 4, 2)) == {"a": 1, "b": 4, "kind": "z"}
    assert pinned.to_parameters((1, 4, 2)) == {"a": 1, "b": 4, "kind": "z"}
    assert pinned.from_parameters({"a": 1, "b": 4, "kind": "z"}) == (1, 4, 2)
    assert pinned.index_of("kind", "y") == 1
    assert pinned.encode([(1, 4, 2)]).tolist() == plain.encode([(1, 4, 2)]).tolist()
    assert pinned.covariates() == []
    assert pinned.cost_function(sum) is sum
    assert pinned.canonical((1, 4, 2)) == (1, 4, 2)


def test_a_value_that_no_network_within_the_limits_has_is_reported():
    mixnet = load_space("mixnet")
    domain = SpaceDomain(mixnet, parse_limits(["madds=135M"]))
    depth = mixnet.index("s1.depth")
    fixed = PinnedDomain(domain, {depth: 2, mixnet.index("s1.first.expansion"): 2})
    genotype = fixed.draw(random.Random(0))
    assert genotype[depth] == 2
    assert domain.admits(genotype)
    never = PinnedDomain(plain, {0: 9, 1: 0})
    with pytest.raises(LimitError, match=r"none of 1,000 draws .* with the fixed values of a, b;"):
        never.draw(random.Random(0))


def test_inactive_variables_keep_their_fixed_value():
    conditional = next(i for i, v in enumerate(tiny.variables) if v.sites)
    domain = PinnedDomain(SpaceDomain(tiny), {conditional: 1})
    found = set(domain.members())
    expected = {g for g in everything(tiny) if g[conditional] in (1, INACTIVE)}
    assert found == expected
    assert any(g[conditional] == INACTIVE for g in found)
