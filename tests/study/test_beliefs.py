"""What a study believes of its networks."""

import random

import numpy as np
import pytest

from nas.samplers.known_cost.belief import FEWEST
from nas.space import load_space
from nas.study import beliefs as beliefs_module
from nas.study.beliefs import Beliefs

SPACE = load_space("mixnet")


def scored(n, noise=0.03):
    """Genotypes and rows of networks that are the better the more multiply-adds they have."""
    rng = random.Random(0)
    genotypes = [SPACE.draw(rng) for _ in range(n)]
    rows = []
    for genotype in genotypes:
        cost = SPACE.cost(genotype)
        costs = {"params": cost.params, "madds": cost.madds, "activations": cost.activations}
        truth = 0.5 + 1e-9 * cost.madds
        rows.append({**costs, "truth": truth, "raw_score": truth + rng.gauss(0, noise)})
    return genotypes, rows


def test_noise_is_taken_off():
    genotypes, rows = scored(150)
    believed = Beliefs(SPACE).of(genotypes, rows)
    truth = np.array([row["truth"] for row in rows])
    raw = np.array([row["raw_score"] for row in rows])
    assert np.abs(np.array(believed) - truth).mean() < 0.8 * np.abs(raw - truth).mean()


def test_a_few_networks_and_none_are_as_good_as_their_scores():
    genotypes, rows = scored(FEWEST - 1)
    beliefs = Beliefs(SPACE)
    assert beliefs.of([], []) == []
    assert beliefs.of(genotypes, rows) == [row["raw_score"] for row in rows]
    assert beliefs.of([], []) == []


def test_beliefs_are_computed_once_for_the_same_scores(monkeypatch):
    genotypes, rows = scored(12)
    calls = []
    compute = beliefs_module.believed_accuracies

    def counted(*arguments):
        calls.append(len(arguments[2]))
        return compute(*arguments)

    monkeypatch.setattr(beliefs_module, "believed_accuracies", counted)
    beliefs = Beliefs(SPACE)
    first = beliefs.of(genotypes[:11], rows[:11])
    assert beliefs.of(genotypes[:11], rows[:11]) == first
    beliefs.of(genotypes, rows)
    beliefs.of(genotypes, [*rows[:11], {**rows[11], "raw_score": 0.1}])
    assert calls == [11, 12, 12]


@pytest.mark.parametrize("missing", ["madds", "all"])
def test_costs_that_were_not_recorded_are_done_without(missing):
    genotypes, rows = scored(30)
    names = ("params", "madds", "activations") if missing == "all" else (missing,)
    poorer = [{k: v for k, v in row.items() if k not in names} for row in rows]
    believed = Beliefs(SPACE).of(genotypes, poorer)
    assert np.isfinite(believed).all()
    assert np.ptp(believed) > 0
