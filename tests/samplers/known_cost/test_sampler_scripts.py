"""The known-cost sampler in scripts that suggest other parameters from trial to trial."""

import random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import PartialFixedSampler
from optuna.trial import TrialState

from nas.errors import MixnasError
from nas.samplers import KnownCostSampler, ParameterDomain
from nas.space import INACTIVE
from tests.sampling import BOTH

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Fixed parameter"),
]

# `ratio` matters to bottlenecks alone, and `gate` to those with a large ratio.
PARAMETERS = {
    "width": IntDistribution(16, 64, step=16),
    "block": CategoricalDistribution(["plain", "bottleneck"]),
    "ratio": IntDistribution(1, 4),
    "gate": CategoricalDistribution([False, True]),
}
NETWORKS = 4 * (1 + 2 + 2 * 2)


def cost(p):
    return p["width"] * (p["ratio"] if p["block"] == "bottleneck" else 3)


def suggest(trial):
    p = {
        "width": trial.suggest_int("width", 16, 64, step=16),
        "block": trial.suggest_categorical("block", ["plain", "bottleneck"]),
        "ratio": 1,
    }
    if p["block"] == "bottleneck":
        p["ratio"] = trial.suggest_int("ratio", 1, 4)
        if p["ratio"] > 2:
            p["gate"] = trial.suggest_categorical("gate", [False, True])
    return p


def objective(trial):
    p = suggest(trial)
    return 0.9 - 1 / cost(p) + 0.01 * p.get("gate", 0), cost(p)


def study_of(seed=0, sampler=None):
    sampler = sampler or KnownCostSampler(PARAMETERS, [cost], start=4, seed=seed)
    return optuna.create_study(directions=BOTH, sampler=sampler)


def keys(study):
    return [tuple(t.params.items()) for t in study.trials if t.state == TrialState.COMPLETE]


def test_trials_that_did_not_suggest_everything_are_known():
    study = study_of()
    study.optimize(objective, n_trials=20)
    assert len(set(keys(study))) == 20
    sampler = study.sampler
    past = sampler._past(study, 20)
    assert len(past) == 20
    plain = [p.genotype for p in past if p.trial.params["block"] == "plain"]
    assert plain
    assert all(g[2:] == (INACTIVE, INACTIVE) for g in plain)


def test_all_combinations_are_tried_and_none_twice():
    study = study_of()
    study.optimize(objective, n_trials=60)
    assert len(keys(study)) == len(set(keys(study))) == NETWORKS
    assert study.trials[-1].state == TrialState.PRUNED


def test_a_resumed_study_knows_what_was_not_suggested():
    first = study_of()
    first.optimize(objective, n_trials=12)
    again = study_of(seed=5)
    again.add_trials(first.trials)
    again.optimize(objective, n_trials=NETWORKS - 12)
    assert len(set(keys(again))) == NETWORKS


def test_trials_that_failed_before_suggesting_everything_are_not_repeated():
    def failing(trial):
        p = suggest(trial)
        if p["width"] == 64:
            raise ZeroDivisionError
        return 0.5, cost(p)

    study = study_of()
    study.optimize(failing, n_trials=24, catch=ZeroDivisionError)
    every = [tuple(t.params.items()) for t in study.trials]
    assert len(set(every)) == 24


def test_the_front_of_a_conditional_script_is_found():
    def best(study):
        return max(t.values[0] - t.values[1] / 400 for t in study.trials)

    study = study_of()
    study.optimize(objective, n_trials=14)
    known = [0.9 - 1 / c + 0.01 * g - c / 400 for c in (16, 32, 48, 64, 96) for g in (0, c > 32)]
    assert best(study) >= sorted(known)[-2]


def test_some_parameters_may_be_fixed():
    study = study_of()
    study.optimize(objective, n_trials=6)
    study.sampler = PartialFixedSampler({"width": 48}, study.sampler)
    study.optimize(objective, n_trials=NETWORKS // 4 - 3)
    fixed = study.trials[6:]
    assert {t.params["width"] for t in fixed} == {48}
    assert {t.state for t in fixed} == {TrialState.COMPLETE}
    assert len(set(keys(study))) == len(study.trials)
    study.sampler = study.sampler._base_sampler
    study.optimize(objective, n_trials=4)
    assert len({t.params["width"] for t in study.trials[-4:]}) > 1


def test_a_fixed_value_that_is_none_of_the_choices_is_refused():
    sampler = PartialFixedSampler({"width": 17}, KnownCostSampler(PARAMETERS, [cost]))
    with pytest.raises(MixnasError, match="'width' is fixed at 17, which is not among the values"):
        study_of(sampler=sampler).optimize(objective, n_trials=1)


def test_an_enqueued_value_outside_the_choices_does_not_end_the_search():
    study = study_of()
    study.enqueue_trial({"width": 17})
    study.enqueue_trial({"width": 32, "block": "plain"})
    study.enqueue_trial({"other": 3})
    study.optimize(objective, n_trials=10)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 10
    assert study.trials[0].params["width"] == 17
    assert study.trials[1].params == {"width": 32, "block": "plain"}
    assert len(study.sampler._past(study, 10)) == 9  # 17 is no width of the domain


def test_an_enqueued_part_of_a_network_is_completed_by_an_untried_one():
    study = study_of()
    for _ in range(4):
        study.enqueue_trial({"width": 16, "block": "bottleneck", "ratio": 1})
        study.enqueue_trial({"width": 16, "block": "bottleneck"})
    study.optimize(objective, n_trials=8)
    tried = keys(study)
    assert len(set(tried[1::2])) == 4
    assert set(tried[::2]) == {(("width", 16), ("block", "bottleneck"), ("ratio", 1))}


def test_a_further_continuous_parameter_is_drawn_by_itself():
    rates = []

    def trained(trial):
        rates.append(trial.suggest_float("rate", 1e-4, 1e-1, log=True))
        return objective(trial)

    study = study_of()
    study.optimize(trained, n_trials=12)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 12
    assert len(set(rates)) == 12
    without = [tuple((k, v) for k, v in key if k != "rate") for key in keys(study)]
    assert len(set(without)) == 12


def test_a_variable_with_another_distribution_is_refused_with_what_to_do():
    trial = study_of().ask()
    with pytest.raises(MixnasError, match=r"'width' was suggested with IntDistribution.*high=128"):
        trial.suggest_int("width", 65, 128)


def test_which_parameter_decides_is_learned():
    domain = ParameterDomain(PARAMETERS)
    past = [(0, 0, INACTIVE, INACTIVE), (1, 1, 0, INACTIVE), (2, 1, 2, 0), (0, 1, 3, 1)]
    domain.learn_conditions(past)
    assert domain.canonical((3, 0, 2, 1)) == (3, 0, INACTIVE, INACTIVE)
    assert domain.canonical((3, 1, 0, 1)) == (3, 1, 0, INACTIVE)
    assert domain.canonical((3, 1, 2, 1)) == (3, 1, 2, 1)
    rng = random.Random(0)
    drawn = {domain.draw(rng) for _ in range(400)}
    # No trial had a ratio of 2, so that it may have a gate.
    assert len(drawn) == len(domain.members()) == 4 * (1 + 1 + 3 * 2)
    assert drawn == set(domain.members())
    changed = {domain.mutate((0, 0, INACTIVE, INACTIVE), rng) for _ in range(100)}
    assert {g[1] for g in changed} == {0, 1}
    assert {g[2] for g in changed if g[1] == 1} == {0, 1, 2, 3}
    assert domain.view((0, 0, INACTIVE, INACTIVE)) == {
        "width": 16, "block": "plain", "ratio": 1, "gate": False
    }  # fmt: skip


def test_inactive_parameters_have_no_features():
    domain = ParameterDomain({"ratio": IntDistribution(0, 4), "x": FloatDistribution(1, 2, step=1)})
    assert domain.encode([(4, 1), (INACTIVE, INACTIVE)]).tolist() == [[1, 1], [0, 0]]
