import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from nas.limits import parse_limits
from nas.samplers import ParameterDomain, SpaceDomain
from nas.samplers.evolution import RegularizedEvolution
from nas.space import load_space
from tests.sampling import BOTH, apart, run

mixnet = load_space("mixnet")
PARAMETERS = {f"x{i}": IntDistribution(0, 9) for i in range(10)}


def run_study(n, values, directions, population=8, tournament=4, seed=0):
    sampler = RegularizedEvolution(ParameterDomain(PARAMETERS), seed, population, tournament)
    study = optuna.create_study(directions=directions, sampler=sampler)
    for _ in range(n):
        trial = study.ask(PARAMETERS)
        study.tell(trial, values(trial.params))
    return study


def total(parameters):
    return [sum(parameters.values())]


def test_children_differ_from_a_recent_network_in_one_choice():
    trials = run_study(40, total, ["maximize"]).trials
    for n in range(8, 40):
        distances = [apart(trials[n].params, t.params) for t in trials[n - 8 : n]]
        assert min(distances) == 1
    assert all(apart(trials[n].params, trials[n - 1].params) > 1 for n in range(1, 8))


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_the_best_of_a_tournament_has_the_child(direction, sign):
    # The tournament is the whole population.
    trials = run_study(30, total, [direction], population=6, tournament=6).trials
    for n in range(6, 30):
        alive = trials[n - 6 : n]
        best = max(sign * t.value for t in alive)
        parents = [t for t in alive if sign * t.value == best]
        assert any(apart(trials[n].params, parent.params) == 1 for parent in parents)


def test_with_two_objectives_none_in_the_tournament_dominates_the_parent():
    def values(parameters):
        return [sum(parameters.values()), parameters["x0"] + 2 * parameters["x1"]]

    trials = run_study(30, values, BOTH, population=6, tournament=6).trials
    for n in range(6, 30):
        alive = trials[n - 6 : n]
        front = [
            t
            for t in alive
            if not any(
                o.values != t.values and o.values[0] >= t.values[0] and o.values[1] <= t.values[1]
                for o in alive
            )
        ]
        assert any(apart(trials[n].params, parent.params) == 1 for parent in front)


def test_infinite_values_of_three_objectives_compete_as_others_do():
    """The best in one objective always wins, however bad the others are."""

    def values(parameters):
        lost = float("inf") if parameters["x1"] % 2 else parameters["x1"]
        return [sum(parameters.values()), lost, -lost]

    directions = ["maximize", "minimize", "maximize"]
    trials = run_study(40, values, directions, population=6, tournament=6).trials
    assert len(trials) == 40
    for n in range(6, 40):
        alive = trials[n - 6 : n]
        assert any(apart(trials[n].params, parent.params) == 1 for parent in alive)


def test_values_rise():
    trials = run_study(150, total, ["maximize"]).trials
    means = [sum(t.value for t in trials[at : at + 20]) / 20 for at in (0, 130)]
    assert means[1] > means[0] + 10


def test_failed_trials_have_no_children():
    sampler = RegularizedEvolution(ParameterDomain(PARAMETERS), population=4, tournament=4)
    study = optuna.create_study(sampler=sampler)
    for n in range(12):
        trial = study.ask(PARAMETERS)
        if n % 2:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, sum(trial.params.values()))
    child = study.ask(PARAMETERS).params
    alive = [t for t in study.trials[:12] if t.state == TrialState.COMPLETE][-4:]
    assert min(apart(child, t.params) for t in alive) == 1


def test_networks_are_drawn_while_there_is_no_result():
    sampler = RegularizedEvolution(ParameterDomain(PARAMETERS), population=2)
    study = optuna.create_study(sampler=sampler)
    for _ in range(6):
        study.tell(study.ask(PARAMETERS), state=TrialState.FAIL)
    assert len({tuple(t.params.values()) for t in study.trials}) == 6


def test_children_stay_within_limits():
    domain = SpaceDomain(mixnet, parse_limits(["madds=300M..302M"]))
    for genotype in run(RegularizedEvolution(domain, population=4), mixnet, 16):
        assert 300e6 <= mixnet.cost(genotype).madds <= 302e6


def test_a_new_sampler_continues_like_the_old_one():
    study = run_study(20, total, ["maximize"])
    again = optuna.create_study(
        direction="maximize",
        sampler=RegularizedEvolution(ParameterDomain(PARAMETERS), 0, population=8, tournament=4),
    )
    again.add_trials(study.trials)
    assert again.ask(PARAMETERS).params == study.ask(PARAMETERS).params
