"""The made-up accuracies of `mixnet`, whose best possible front is computed."""

import bisect
import itertools
import random

import numpy as np
import pytest

from experiments.benchmarks import preferences
from experiments.benchmarks.preferences import NOISE, Preferences, accuracy
from nas.space import load_space

mixnet = load_space("mixnet")
FEW = {
    "width": 2,
    "s1.depth": 3,
    "s1.channels": 2,
    "s1.rest.kernels": 2,
    "s2.depth": 2,
    "s2.first.expansion": 2,
    "s2.rest.project_groups": 2,
    "s3.se_ratio": 2,
    "s4.activation": 2,
    "s4.channels": 2,
    "s5.first.expand_groups": 2,
}


class Narrow(Preferences):
    """The same, where few variables have a choice."""

    def _options(self, name):
        return super()._options(name)[: FEW.get(name, 1)]


@pytest.fixture(scope="module")
def world():
    return Preferences(mixnet, 1)


@pytest.fixture(scope="module")
def front(world):
    return world.front()


def best_at(front, madds):
    """Return the front's accuracy at a cost."""
    place = bisect.bisect_right(front, (madds, 2.0)) - 1
    return front[place][1] if place >= 0 else 0.0


def climbed(world, rng, weight, steps):
    """Climb accuracy less a weight times the cost; yields (MAdds, accuracy) on the way."""

    def worth(genotype):
        madds, reached = mixnet.cost(genotype).madds, world.truth(genotype)
        return reached - weight * madds / 1e9, madds, reached

    genotype = mixnet.draw(rng)
    best = worth(genotype)
    for _ in range(steps):
        other = mixnet.mutate(genotype, rng)
        if rng.random() < 0.3:
            other = mixnet.mutate(other, rng)
        there = worth(other)
        if there[0] >= best[0]:
            genotype, best = other, there
            yield best[1:]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_front_is_that_of_all_networks(seed, monkeypatch):
    monkeypatch.setattr(preferences, "_STEP", 1.0)
    world = Narrow(mixnet, seed)
    sizes = [range(FEW.get(v.name, 1)) for v in mixnet.variables]
    found = {mixnet.canonical(genotype) for genotype in itertools.product(*sizes)}
    points = sorted(
        ((float(mixnet.cost(g).madds), world.truth(g)) for g in found), key=lambda p: (p[0], -p[1])
    )
    expected, best = [], -1.0
    for madds, reached in points:
        if reached > best:
            best = reached
            expected.append((madds, reached))
    front = world.front()
    assert len(expected) > 10
    assert [madds for madds, _ in front] == [madds for madds, _ in expected]
    assert [a for _, a in front] == pytest.approx([a for _, a in expected], abs=1e-12)


def test_coarse_steps_make_the_front_too_good_by_little(monkeypatch):
    coarse = Narrow(mixnet, 1).front()
    monkeypatch.setattr(preferences, "_STEP", 1.0)
    for madds, reached in Narrow(mixnet, 1).front():
        assert best_at(coarse, madds) >= reached - 1e-12
        assert min(m for m, a in coarse if a >= reached - 1e-12) > 0.998 * madds


@pytest.mark.slow
def test_no_network_is_above_the_front(world, front):
    rng = random.Random(0)
    for _ in range(3000):
        drawn = mixnet.draw(rng)
        assert world.truth(drawn) <= best_at(front, mixnet.cost(drawn).madds) + 1e-12
    for weight in (0.0, 0.3, 1.0):
        for madds, reached in climbed(world, rng, weight, 4000):
            assert reached <= best_at(front, madds) + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_the_front_is_reached(world, front, weight):
    gaps = []
    for seed in range(3):
        *_, (madds, reached) = climbed(world, random.Random(seed), weight, 12_000)
        gaps.append(best_at(front, madds) - reached)
    assert min(gaps) < 1e-3


@pytest.mark.slow
def test_the_front_rises(front):
    madds, accuracies = zip(*front, strict=True)
    assert list(madds) == sorted(madds)
    assert all(a < b for a, b in itertools.pairwise(accuracies))
    assert 0.5 < accuracies[0] < accuracies[-1] < 0.95


def test_a_seed_repeats_the_preferences(world):
    genotype = mixnet.draw(random.Random(0))
    assert Preferences(mixnet, 1).truth(genotype) == world.truth(genotype)
    assert Preferences(mixnet, 2).truth(genotype) != world.truth(genotype)


def test_observations_scatter_around_the_truth(world):
    genotype = mixnet.draw(random.Random(0))
    seen = [world.observed(genotype, seed) for seed in range(2000)]
    assert world.observed(genotype, 7) == seen[7]
    assert np.mean(seen) == pytest.approx(world.truth(genotype), abs=4 * NOISE / 2000**0.5)
    assert np.std(seen) == pytest.approx(NOISE, rel=0.1)


def test_accuracy_saturates():
    scores = np.linspace(-20, 20, 81)
    reached = [accuracy(score) for score in scores]
    assert reached == sorted(reached)
    assert (reached[0], reached[-1]) == (
        pytest.approx(0.5, abs=1e-3),
        pytest.approx(0.95, abs=1e-3),
    )
