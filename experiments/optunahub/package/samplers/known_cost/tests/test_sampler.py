"""The sampler as the registry loads it, in studies of a function that needs no training."""

from itertools import product
from pathlib import Path

import optuna
import optunahub
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

PACKAGE = Path(__file__).parents[1]
PARAMETERS = {
    "depth": IntDistribution(1, 8),
    "width": IntDistribution(16, 256, step=16),
    "block": CategoricalDistribution(["plain", "bottleneck"]),
}
VALUES = [
    {"depth": depth, "width": width, "block": block}
    for depth, width, block in product(range(1, 9), range(16, 257, 16), PARAMETERS["block"].choices)
]
TRIALS = 24


def flops(p):
    """Return the cost of a dict of parameters."""
    return p["depth"] * p["width"] ** 2 * (0.5 if p["block"] == "bottleneck" else 1.0)


def accuracy(p):
    """Return the accuracy, which is best at a depth that grows with the width."""
    wrong = abs(p["depth"] - 1 - p["width"] / 48) + 2 * (p["block"] == "bottleneck")
    return 0.95 - 2.0 * flops(p) ** -0.25 - 0.02 * wrong


def objective(trial):
    """Return accuracy and cost of a trial."""
    p = {
        "depth": trial.suggest_int("depth", 1, 8),
        "width": trial.suggest_int("width", 16, 256, step=16),
        "block": trial.suggest_categorical("block", ["plain", "bottleneck"]),
    }
    return accuracy(p), flops(p)


def run(sampler, trials=TRIALS):
    """Return a study with so many trials."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def regret(study):
    """Return how far the best within each cost is from the best possible, on average."""
    points = [tuple(trial.values) for trial in study.trials]
    possible = [(accuracy(p), flops(p)) for p in VALUES]
    costs = sorted({cost for _, cost in possible})
    gaps = [
        max(a for a, c in possible if c <= cost)
        - max((a for a, c in points if c <= cost), default=0.0)
        for cost in costs
    ]
    return sum(gaps) / len(gaps)


@pytest.fixture(scope="module")
def sampler_class():
    """Give the class, loaded from this folder as from the registry."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = "/".join(PACKAGE.parts[-2:])
    return optunahub.load_local_module(name, registry_root=str(PACKAGE.parents[1])).KnownCostSampler


def test_it_comes_nearer_to_the_front_than_random_search(sampler_class):
    known = [regret(run(sampler_class(PARAMETERS, [flops], seed=seed))) for seed in range(3)]
    random = [regret(run(optuna.samplers.RandomSampler(seed=seed))) for seed in range(3)]
    assert sum(known) < 0.5 * sum(random)


def test_no_candidate_is_proposed_twice_until_the_space_is_exhausted(sampler_class):
    few = {**PARAMETERS, "width": IntDistribution(16, 32, step=16), "depth": IntDistribution(1, 3)}
    sampler = sampler_class(few, [flops], start=4, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(12):
        trial = study.ask(few)
        study.tell(trial, [accuracy(trial.params), flops(trial.params)])
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 12


def test_what_is_not_feasible_is_never_proposed(sampler_class):
    def small(p):
        return flops(p) <= 20_000

    study = run(sampler_class(PARAMETERS, [flops], feasible=small, start=5, seed=0), 12)
    assert all(small(trial.params) for trial in study.trials)


def test_a_seed_repeats_a_study_and_another_does_not(sampler_class):
    proposed = [
        [
            trial.params
            for trial in run(sampler_class(PARAMETERS, [flops], start=5, seed=s), 8).trials
        ]
        for s in (7, 7, 8)
    ]
    assert proposed[0] == proposed[1]
    assert proposed[0] != proposed[2]
