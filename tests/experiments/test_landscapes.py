import itertools
import json
import random

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.landscapes import hypervolume, mixnet_small, nas_bench_macro
from experiments.benchmarks.preferences import Preferences
from nas.space import load_space

points = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(st.lists(points, min_size=1, max_size=10), points)
def test_the_volume_is_what_points_dominate(found, reference):
    worst, largest = reference
    expected = moocore.hypervolume(
        np.array([(cost, -accuracy) for cost, accuracy in found], float), ref=[largest, -worst]
    )
    assert hypervolume(found, reference) == pytest.approx(expected)


@pytest.fixture
def table(tmp_path):
    """A table like NAS-Bench-Macro's, with accuracies that are made up."""
    rng = random.Random(0)
    rows = {}
    for digits in itertools.product("012", repeat=8):
        work = sum(map(int, digits))
        seen = [80 + work / 2 + rng.gauss(0, 0.2) for _ in range(3)]
        rows["".join(digits)] = {
            "flops": 50 + work,
            "params": 2 * work,
            "test_acc": seen,
            "mean_acc": sum(seen) / 3,
        }
    path = tmp_path / "table.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_a_table_is_searched(table):
    problem = nas_bench_macro(table)
    assert problem.about == {"networks": 6561}
    names, choices = zip(*[(n, d.choices) for n, d in problem.distributions.items()], strict=True)
    every = [dict(zip(names, c, strict=True)) for c in itertools.product(*choices)]
    assert problem.share(every) == pytest.approx(1.0)
    assert 0 < problem.share(every[::100]) < 1
    assert problem.share([]) == 0
    # The largest network adds nothing up to its own cost, but beyond it.
    largest = max(every, key=problem.cost)
    assert problem.share([largest]) == 0
    gain = problem.truth(largest) - 80.0
    assert problem.share([largest], problem.beyond) == pytest.approx(
        0.2 * problem.reference.cost * gain / problem.beyond.full
    )
    seen = [problem.observed(every[5], seed) for seed in range(3)]
    assert problem.truth(every[5]) == pytest.approx(sum(seen) / 3)
    assert problem.observed(every[5], 4) == seen[1]
    (covariate,) = problem.covariates
    assert covariate(every[5]) == 2 * (problem.cost(every[5]) - 50)


def test_made_up_problems_are_of_a_spaces_parameters(monkeypatch):
    # The true front takes half a minute; here are the costs of some networks in its place.
    space = load_space("mixnet")

    def front(world):
        drawn = [space.draw(random.Random(i)) for i in range(50)]
        drawn = sorted((float(space.cost(g).madds), world.truth(g)) for g in drawn)
        return [(60e6, 0.9), *drawn]

    monkeypatch.setattr(Preferences, "front", front)
    problem = mixnet_small(seed=3)
    (limit,) = problem.limits
    assert problem.reference.cost == limit.upper
    assert problem.beyond.cost == pytest.approx(1.2 * limit.upper)
    # Networks beyond the limit are no part of the best front: only the one of 60M is within it.
    assert problem.beyond.full > problem.reference.full > 0
    strip = 0.2 * limit.upper * (problem.about["best_accuracy"] - problem.beyond.accuracy)
    assert problem.beyond.full - problem.reference.full == pytest.approx(strip, rel=1e-3)
    assert problem.about["share_of_space_admitted"] < 0.01
    world = Preferences(space, 3)
    genotype = space.draw(random.Random(1))
    params = space.to_params(genotype)
    assert problem.cost(params) == space.cost(genotype).madds
    assert problem.truth(params) == world.truth(genotype)
    assert problem.observed(params, 2) == world.observed(genotype, 2)
