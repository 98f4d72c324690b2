"""What all samplers share: new proposals, whole assignments, the end of a small space."""

import random

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from nas.errors import ExhaustedError, LimitError, MixnasError
from nas.limits import parse_limits
from nas.samplers import GenotypeSampler, ParameterDomain, Proposal, SpaceDomain, distributions
from nas.samplers.random import RandomSampler
from nas.space import load_space, space_from_yaml
from tests.sampling import run
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
TWO = "{name: two, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16]}}}}"
DIGITS = {"a": IntDistribution(0, 9), "b": IntDistribution(0, 9)}


class Recorder(GenotypeSampler):
    """Proposes (0, 0) with a note, and records what it is called with."""

    def propose(self, study, past, number, rng):
        self.calls = [*getattr(self, "calls", []), (list(past), number, rng.random())]
        return Proposal((0, 0), {"recorder:number": number})


def recorded():
    sampler = Recorder(ParameterDomain(DIGITS), seed=3)
    return sampler, optuna.create_study(sampler=sampler)


def test_a_subclass_is_given_the_past_the_number_and_a_seeded_generator():
    sampler, study = recorded()
    first, second = study.ask(DIGITS), study.ask(DIGITS)
    study.tell(first, 1.0)
    study.ask(DIGITS)
    past, numbers, draws = zip(*sampler.calls, strict=True)
    assert numbers == (0, 1, 2)
    assert draws == tuple(random.Random(f"3/{n}/0").random() for n in range(3))
    assert [p.trial.number for p in past[2]] == [0, 1]
    assert [p.pending for p in past[2]] == [False, True]
    assert set(sampler.tried(past[2])) == {(0, 0), tuple(second.params.values())}


def test_a_repeated_proposal_is_replaced_by_a_draw():
    sampler, study = recorded()
    first, second = study.ask(DIGITS), study.ask(DIGITS)
    assert first.params == {"a": 0, "b": 0}
    assert sampler.domain.draw(random.Random("3/1/1")) == tuple(second.params.values())


def test_notes_are_stored_with_their_trial_and_dropped_with_their_proposal():
    _, study = recorded()
    study.ask(DIGITS), study.ask(DIGITS)
    assert [t.system_attrs.get("recorder:number") for t in study.trials] == [0, None]


def test_a_new_genotype_is_near_and_inside_the_limits():
    domain = ParameterDomain(DIGITS, feasible=lambda p: p["a"] < 5)
    sampler = RandomSampler(domain)
    assert sampler.new_near((4, 4), set(), random.Random(0)) == (4, 4)
    near = sampler.new_near((4, 4), {(4, 4)}, random.Random(0))
    assert domain.admits(near)
    assert sum(x != 4 for x in near) == 1
    seen = {(a, b) for a in range(5) for b in range(10)}
    assert sampler.new_near((9, 9), seen, random.Random(0)) in seen


def test_small_spaces_are_exhausted():
    two = space_from_yaml(TWO)
    with pytest.raises(
        ExhaustedError, match="every network of 'two' within the limits was tried, 2 in all"
    ):
        run(RandomSampler(SpaceDomain(two)), two, 3)


def test_small_spaces_are_tried_to_the_last_network():
    members = everything(tiny)
    sampler = RandomSampler(SpaceDomain(tiny))
    genotypes = run(sampler, tiny, len(members))
    assert set(genotypes) == members
    assert len(members) == len(genotypes)


@pytest.mark.parametrize("a", [12, 40])
def test_small_sets_of_parameters_are_tried_to_the_last(a):
    # 144 and 480 assignments: draws alone leave some out.
    parameters = {"a": IntDistribution(1, a), "b": IntDistribution(1, 12)}
    domain = ParameterDomain(parameters, feasible=lambda p: (p["a"] + p["b"]) % 3)
    study = optuna.create_study(sampler=RandomSampler(domain))
    feasible = {(i, j) for i in range(1, a + 1) for j in range(1, 13) if (i + j) % 3}
    found = set()
    for _ in feasible:
        trial = study.ask(parameters)
        study.tell(trial, 1.0)
        found.add(tuple(trial.params.values()))
    assert found == feasible
    words = f"of 'the parameters' within the limits was tried, {len(feasible)} in all"
    with pytest.raises(ExhaustedError, match=words):
        study.ask(parameters)


class Hidden(ParameterDomain):
    """A domain that is too large to look at all of it, in which draws find one member only."""

    def draw(self, rng):
        return (0, 0)

    def members(self):
        return None


def test_neighbors_of_what_was_tried_are_tried_in_a_large_space():
    sampler = RandomSampler(Hidden(DIGITS))
    study = optuna.create_study(sampler=sampler)
    found = set()
    for _ in range(100):
        trial = study.ask(DIGITS)
        study.tell(trial, 1.0)
        found.add(tuple(trial.params.values()))
    assert len(found) == 100
    words = r"neither 50 draws nor 1,800 neighbors of what was tried \(100 networks\) gave another"
    with pytest.raises(ExhaustedError, match=words):
        study.ask(DIGITS)


def test_optimize_prunes_the_trial_that_no_network_is_left_for():
    parameters = {"a": IntDistribution(0, 1), "b": IntDistribution(0, 1)}
    study = optuna.create_study(sampler=RandomSampler(ParameterDomain(parameters)))
    study.optimize(lambda t: t.suggest_int("a", 0, 1) + t.suggest_int("b", 0, 1), n_trials=9)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4 + [TrialState.PRUNED]


def test_limits_that_nothing_meets_are_reported():
    sampler = RandomSampler(SpaceDomain(mixnet, parse_limits(["madds=10M"])))
    with pytest.raises(LimitError, match=r"the nearest has madds = 45\.4M"):
        run(sampler, mixnet, 1)


def test_variables_are_suggested_with_their_own_distributions():
    study = optuna.create_study(sampler=RandomSampler(ParameterDomain(DIGITS)))
    with pytest.raises(MixnasError, match=r"'a' was suggested with .*high=99.*suggest the variabl"):
        study.ask().suggest_int("a", 90, 99)


def test_other_parameters_are_drawn_at_random():
    def suggested():
        study = optuna.create_study(sampler=RandomSampler(SpaceDomain(tiny)))
        trials = [study.ask(distributions(tiny)) for _ in range(20)]
        rates = [trial.suggest_float("rate", 1e-4, 1e-1, log=True) for trial in trials]
        assert len({tiny.from_params(trial.params) for trial in study.trials}) == 20
        return rates

    rates = suggested()
    assert 1e-4 <= min(rates) < 1e-3
    assert 1e-2 < max(rates) <= 1e-1
    assert suggested() == rates


def test_failed_networks_are_not_proposed_again():
    two = space_from_yaml(TWO)
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(two)))
    for _ in range(2):
        study.tell(study.ask(distributions(two)), state=TrialState.FAIL)
    with pytest.raises(ExhaustedError):
        study.ask(distributions(two))


def test_trials_without_parameters_are_ignored():
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(tiny)))
    study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({})
    assert tiny.from_params(study.ask(distributions(tiny)).params) in everything(tiny)


def test_an_enqueued_trial_keeps_its_values_and_the_rest_becomes_feasible():
    domain = ParameterDomain(DIGITS, feasible=lambda p: p["a"] < p["b"])
    study = optuna.create_study(sampler=RandomSampler(domain))
    study.enqueue_trial({"a": 8})
    study.enqueue_trial({"a": 3, "b": 3})  # infeasible, but nothing is left to choose
    assert study.ask(DIGITS).params == {"a": 8, "b": 9}
    assert study.ask(DIGITS).params == {"a": 3, "b": 3}


def test_a_second_study_begins_without_the_first_ones_trials():
    sampler, study = recorded()
    study.add_trial(create_trial(value=1.0, params={"a": 0, "b": 0}, distributions=DIGITS))
    assert study.ask(DIGITS).params != {"a": 0, "b": 0}
    other = optuna.create_study(sampler=sampler)
    assert other.ask(DIGITS).params == {"a": 0, "b": 0}
