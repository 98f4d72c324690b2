"""The known-cost sampler in the course of a study: failures, resumption, threads, exhaustion."""

import copy
import random

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from nas.accuracy.prediction.model import KEEP_MOST
from nas.errors import ExhaustedError
from nas.samplers import KnownCostSampler, ParameterDomain
from tests.sampling import (
    BOTH,
    FEW,
    PARAMETERS,
    accuracy,
    apart,
    cost,
    keys,
    tried,
)


def test_running_trials_keep_others_at_a_distance():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    tried(None, 12, study=study)
    waiting = [study.ask(PARAMETERS).params for _ in range(6)]
    for i, one in enumerate(waiting):
        assert all(apart(one, two) > 1 for two in waiting[:i])


def test_proposals_before_any_result_differ_in_two_variables():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    waiting = [study.ask(PARAMETERS).params for _ in range(12)]
    for i, one in enumerate(waiting):
        assert all(apart(one, two) > 1 for two in waiting[:i])


def test_all_trials_may_be_asked_before_any_result():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    trials = [study.ask(PARAMETERS) for _ in range(20)]
    assert len(set(keys(t.params for t in trials))) == 20


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -3.0])
def test_constant_accuracies_are_accepted(value):
    found = tried(KnownCostSampler(PARAMETERS, [cost]), 14, lambda p: (value, cost(p)))
    assert len(set(keys(found))) == 14


def test_failed_trials_are_neither_learned_from_nor_repeated():
    def objective(trial):
        parameters = {n: trial._suggest(n, d) for n, d in PARAMETERS.items()}
        if trial.number % 3 == 0:
            return float("nan"), cost(parameters)
        if trial.number % 3 == 1:
            raise ZeroDivisionError
        return accuracy(parameters), cost(parameters)

    study = optuna.create_study(
        directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost], start=4)
    )
    study.optimize(objective, n_trials=24, catch=ZeroDivisionError)
    states = [t.state for t in study.trials]
    assert states.count(TrialState.FAIL) == 16
    assert len(set(keys(t.params for t in study.trials))) == 24


def test_trials_without_an_accuracy_are_ignored():
    sampler = KnownCostSampler(PARAMETERS, [cost], accuracy=lambda trial: None)
    assert len(set(keys(tried(sampler, 14)))) == 14


def test_a_small_set_is_exhausted():
    def spent(p):
        return p["a"] + p["c"]

    sampler = KnownCostSampler(FEW, [spent], start=4)
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    found = []
    for _ in range(18):
        trial = study.ask(FEW)
        study.tell(trial, [0.5 + 0.1 * trial.params["a"], spent(trial.params)])
        found.append(trial.params)
    assert len(set(keys(found))) == 18
    with pytest.raises(
        ExhaustedError, match="of 'the parameters' within the limits was tried, 18 in"
    ):
        study.ask(FEW)


def test_the_last_of_a_small_set_is_found():
    parameters = {"x": IntDistribution(0, 299)}
    sampler = KnownCostSampler(parameters, [lambda p: p["x"]])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    for x in range(299):
        study.add_trial(
            create_trial(values=[0.5 + x / 1000, x], params={"x": x}, distributions=parameters)
        )
    assert study.ask(parameters).params == {"x": 299}


def add(study, n, seed=0):
    domain = ParameterDomain(PARAMETERS)
    rng = random.Random(seed)
    for _ in range(n):
        parameters = domain.view(domain.draw(rng))
        values = [accuracy(parameters) + rng.gauss(0, 0.003), cost(parameters)]
        study.add_trial(create_trial(values=values, params=parameters, distributions=PARAMETERS))


def test_the_model_keeps_a_part_of_thousands_of_observations():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    add(study, 3 * KEEP_MOST)
    known = {tuple(sorted(t.params.items())) for t in study.trials}
    trial = study.ask(PARAMETERS)
    assert tuple(sorted(trial.params.items())) not in known
    assert len(study.sampler._model._process.X_train_) == KEEP_MOST


def test_a_search_continues_with_a_new_sampler():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    before = tried(None, 15, study=study)
    proposals = []
    for _ in range(2):
        again = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
        again.add_trials(study.trials)
        proposals.append(again.ask(PARAMETERS).params)
    assert proposals[0] == proposals[1]
    assert proposals[0] not in before
    study.sampler = KnownCostSampler(PARAMETERS, [cost])
    after = tried(None, 5, study=study)
    assert len(set(keys([*before, *after]))) == 20


def test_enqueued_trials_are_learned_from():
    sampler = KnownCostSampler(PARAMETERS, [cost])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    enqueued = {**ParameterDomain(PARAMETERS).view((0,) * 9), "rate": 0.3}
    study.enqueue_trial(enqueued)
    found = tried(None, 12, study=study)
    assert found[0] == enqueued
    assert len(set(keys(found))) == 12
    assert len(sampler._past(study, 12)) == 12


def test_threads_share_a_sampler():
    def objective(trial):
        parameters = {n: trial._suggest(n, d) for n, d in PARAMETERS.items()}
        return accuracy(parameters), cost(parameters)

    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    study.optimize(objective, n_trials=20, n_jobs=3)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 20
    assert len(set(keys(t.params for t in study.trials))) == 20


def test_proposals_that_are_not_visible_yet_are_not_repeated():
    sampler = KnownCostSampler(FEW, [lambda p: p["a"] + p["c"]], start=2)
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    waiting = [study.ask() for _ in range(18)]
    for name, distribution in FEW.items():
        for trial in waiting:
            trial._suggest(name, distribution)
    assert len(set(keys(trial.params for trial in waiting))) == 18


def test_a_copy_of_a_sampler_proposes_the_same():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    tried(None, 12, study=study)
    other = copy.deepcopy(study)
    assert other.ask(PARAMETERS).params == study.ask(PARAMETERS).params
