"""The known-cost sampler in users' own scripts: unusual costs, limits, enqueued trials."""

import random

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from nas.errors import MixnasError
from nas.limits import Limit
from nas.samplers import KnownCostSampler, ParameterDomain
from tests.sampling import BOTH

DIGITS = {name: IntDistribution(0, 9) for name in "abc"}
SQUARE = {name: IntDistribution(0, 1) for name in "ab"}


def suggested(trial, distributions):
    return {name: trial.suggest_int(name, d.low, d.high) for name, d in distributions.items()}


def quality(p):
    return 0.9 - 0.02 * ((p["a"] - 7) ** 2 + (p["b"] - 2) ** 2 + (p["c"] - 5) ** 2) ** 0.5


def asked(study, n, accuracy=quality, cost=sum):
    found = []
    for _ in range(n):
        trial = study.ask(DIGITS)
        study.tell(trial, [accuracy(trial.params), cost(trial.params.values())])
        found.append(trial.params)
    return found


def test_with_a_constant_cost_accuracy_is_searched():
    sampler = KnownCostSampler(DIGITS, [lambda p: 5.0])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    found = asked(study, 40, cost=lambda _: 5.0)
    domain, rng = ParameterDomain(DIGITS), random.Random(0)
    drawn = [quality(domain.view(domain.draw(rng))) for _ in range(1000)]
    assert max(map(quality, found)) > np.quantile(drawn, 0.99)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_a_cost_that_is_not_finite_is_reported_with_its_parameters(number):
    study = optuna.create_study(
        directions=BOTH, sampler=KnownCostSampler(DIGITS, [lambda p: number])
    )
    with pytest.raises(MixnasError, match=r"cost 1 of \{'a': \d, .*\} is .*; it must be a finite"):
        study.ask(DIGITS)
    sampler = KnownCostSampler(DIGITS, [lambda p: 1.0], covariates=[lambda p: number])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    with pytest.raises(MixnasError, match="a covariate of"):
        study.ask(DIGITS)


def test_optimize_ends_when_all_networks_were_tried():
    study = optuna.create_study(
        directions=BOTH, sampler=KnownCostSampler(SQUARE, [lambda p: p["a"]])
    )

    def objective(trial):
        p = suggested(trial, SQUARE)
        return 0.5 + 0.1 * p["b"], p["a"]

    study.optimize(objective, n_trials=10)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4 + [TrialState.PRUNED]


def test_an_enqueued_trial_keeps_its_values_and_the_rest_becomes_feasible():
    study = optuna.create_study(
        directions=BOTH,
        sampler=KnownCostSampler(DIGITS, [lambda p: p["c"]], feasible=lambda p: p["a"] < p["b"]),
    )
    for a in (8, 7, 0):
        study.enqueue_trial({"a": a})
    study.enqueue_trial({"a": 3, "b": 3, "c": 1})  # nothing is left to choose
    study.optimize(lambda trial: (quality(p := suggested(trial, DIGITS)), p["c"]), n_trials=4)
    params = [trial.params for trial in study.trials]
    assert [p["a"] for p in params] == [8, 7, 0, 3]
    assert all(p["a"] < p["b"] for p in params[:3])
    assert params[3] == {"a": 3, "b": 3, "c": 1}


def test_a_sampler_forgets_an_earlier_study():
    def cheap(p):
        return sum(p.values())

    used = KnownCostSampler(DIGITS, [cheap])
    asked(optuna.create_study(directions=BOTH, sampler=used), 15)
    second = optuna.create_study(directions=BOTH, sampler=used)
    fresh = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(DIGITS, [cheap]))
    assert asked(second, 15) == asked(fresh, 15)
    assert len({tuple(t.params.items()) for t in second.trials}) == 15


def test_costs_meet_their_limits():
    sampler = KnownCostSampler(
        DIGITS, [lambda p: sum(p.values())], cost_limits={0: [Limit("latency", 4, 6)]}
    )
    found = asked(optuna.create_study(directions=BOTH, sampler=sampler), 30)
    assert all(4 <= sum(p.values()) <= 6 for p in found[1:])


def test_the_initial_spread_continues_past_failed_trials():
    study = optuna.create_study(
        directions=BOTH, sampler=KnownCostSampler(DIGITS, [lambda p: sum(p.values())])
    )
    spent = []
    for _ in range(12):
        trial = study.ask(DIGITS)
        spent.append(sum(trial.params.values()))
        if spent[-1] > 18:  # for example because large networks do not fit into memory
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, [quality(trial.params), spent[-1]])
    assert sum(cost > 18 for cost in spent) <= 6
    assert len(set(spent)) >= 8


@pytest.mark.parametrize("k", [1, 2, 3])
def test_several_costs_are_all_reduced(k):
    def spent(p):
        return [p[name] for name in "abc"[:k]]

    def gain(p):
        return 0.9 - 0.3 * np.exp(-sum(p.values()) / 9)

    def dominated_share(found):
        """Return the share of random targets that some network reaches or exceeds."""
        points = [(p, gain(p)) for p in found]
        rng = np.random.default_rng(0)
        targets = zip(rng.uniform(0.6, 0.9, 400), rng.uniform(0, 9, (400, k)), strict=True)
        return np.mean([
            any(g >= a and all(np.array(spent(p)) <= c) for p, g in points) for a, c in targets
        ])  # fmt: skip

    costs = [lambda p, name=name: p[name] for name in "abc"[:k]]
    study = optuna.create_study(
        directions=["maximize", *["minimize"] * k], sampler=KnownCostSampler(DIGITS, costs)
    )
    for _ in range(30):
        trial = study.ask(DIGITS)
        study.tell(trial, [gain(trial.params), *spent(trial.params)])
    domain = ParameterDomain(DIGITS)
    drawn = [
        dominated_share([domain.view(domain.draw(random.Random(f"{i}/{n}"))) for n in range(30)])
        for i in range(8)
    ]
    assert dominated_share([t.params for t in study.trials]) > max(drawn)
