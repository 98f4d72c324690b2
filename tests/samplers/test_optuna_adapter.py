import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import NSGAIISampler, RandomSampler
from optuna.trial import TrialState, create_trial

from nas.limits import parse_limits
from nas.samplers import ParameterDomain, SpaceDomain
from nas.samplers.optuna_adapter import ConstrainedSampler
from nas.space import load_space
from tests.sampling import BOTH, run
from tests.space.test_space import tiny

mixnet = load_space("mixnet")
GENERATION = "NSGAIISampler:generation"
POPULATION = 6
PARAMETERS = {f"x{i}": IntDistribution(0, 5) for i in range(8)}

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class Watcher(RandomSampler):
    """Records the trials that it is shown."""

    def before_trial(self, study, trial):
        self.seen = [t for t in study.get_trials() if t.number != trial.number]
        super().before_trial(study, trial)


class Stuck(Watcher):
    """Always proposes the first values."""

    def sample_independent(self, study, trial, name, distribution):
        first = getattr(distribution, "choices", [0])
        return first[0]


def nsga(seed=0):
    inner = NSGAIISampler(population_size=POPULATION, seed=seed)
    return ConstrainedSampler(ParameterDomain(PARAMETERS), inner, seed)


def values(parameters):
    return [sum(x * i for i, x in enumerate(parameters.values())), sum(parameters.values())]


def ask_and_tell(study, n):
    for _ in range(n):
        trial = study.ask(PARAMETERS)
        study.tell(trial, values(trial.params))


def generations(study):
    return [t.system_attrs.get(GENERATION) for t in study.trials]


def test_generations_are_recorded_with_the_trials():
    study = optuna.create_study(directions=BOTH, sampler=nsga())
    ask_and_tell(study, 4 * POPULATION)
    assert generations(study) == [n // POPULATION for n in range(4 * POPULATION)]


@pytest.mark.parametrize("n", [9, 18, 20])
def test_generations_survive_a_resume(n):
    before = optuna.create_study(directions=BOTH, sampler=nsga())
    ask_and_tell(before, n)
    again = optuna.create_study(directions=BOTH, sampler=nsga(seed=1))
    for trial in before.trials:
        again.add_trial(
            create_trial(
                values=trial.values,
                params=trial.params,
                distributions=PARAMETERS,
                system_attrs=trial.system_attrs,
            )
        )
    ask_and_tell(again, 30 - n)
    assert generations(again) == [i // POPULATION for i in range(30)]


def test_generations_improve():
    study = optuna.create_study(direction="maximize", sampler=nsga())
    for _ in range(20 * POPULATION):
        trial = study.ask(PARAMETERS)
        study.tell(trial, sum(trial.params.values()))
    means = [sum(t.value for t in study.trials[at : at + 24]) / 24 for at in (0, 96)]
    assert means[1] > means[0] + 3


def test_outcomes_of_trials_are_reported():
    watcher = Watcher(seed=0)
    study = optuna.create_study(
        directions=BOTH, sampler=ConstrainedSampler(ParameterDomain(PARAMETERS), watcher)
    )
    trials = [study.ask(PARAMETERS) for _ in range(4)]
    study.tell(trials[2], [1.0, 2.0])
    study.tell(trials[0], state=TrialState.FAIL)
    study.ask(PARAMETERS)
    assert [t.state for t in watcher.seen] == [
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.COMPLETE,
        TrialState.RUNNING,
    ]
    assert watcher.seen[2].values == [1.0, 2.0]
    for shown, trial in zip(watcher.seen, trials, strict=True):
        assert shown.params == trial.params  # integers that start at 0 are their own indices


def test_earlier_trials_are_reported_to_a_new_sampler():
    watcher = Watcher(seed=0)
    study = optuna.create_study(
        directions=BOTH,
        sampler=ConstrainedSampler(ParameterDomain(PARAMETERS), RandomSampler(seed=0)),
    )
    ask_and_tell(study, 5)
    study.tell(study.ask(PARAMETERS), state=TrialState.FAIL)
    study.sampler = ConstrainedSampler(ParameterDomain(PARAMETERS), watcher)
    study.ask(PARAMETERS)
    assert [t.state for t in watcher.seen] == [TrialState.COMPLETE] * 5 + [TrialState.FAIL]
    assert [t.values for t in watcher.seen[:5]] == [t.values for t in study.trials[:5]]
    assert [t.params for t in watcher.seen] == [t.params for t in study.trials[:6]]


def test_the_network_that_was_tried_is_reported_not_the_one_proposed():
    limits = parse_limits(["madds=300M..320M"])
    watcher = Watcher(seed=0)
    tried = run(ConstrainedSampler(SpaceDomain(mixnet, limits), watcher), mixnet, 6)
    for shown, genotype in zip(watcher.seen, tried, strict=False):
        indices = tuple(shown.params[v.name] for v in mixnet.variables)
        assert mixnet.canonical(indices) == genotype
    assert len(watcher.seen) == 5


@pytest.mark.parametrize("ordered", [False, True])
def test_ordered_variables_are_integers_and_others_categories(ordered):
    watcher = Watcher(seed=0)
    run(ConstrainedSampler(SpaceDomain(tiny), watcher, ordered=ordered), tiny, 2)
    (shown,) = watcher.seen
    for variable in tiny.variables:
        found = shown.distributions[variable.name]
        if ordered or variable.kind == "ordinal":
            assert found == IntDistribution(0, len(variable.values) - 1)
        else:
            assert found == CategoricalDistribution(range(len(variable.values)))


def test_repeated_proposals_are_changed_and_reported_as_changed():
    domain = ParameterDomain(PARAMETERS)
    watcher = Stuck()
    study = optuna.create_study(directions=BOTH, sampler=ConstrainedSampler(domain, watcher))
    ask_and_tell(study, 12)
    found = [t.params for t in study.trials]
    assert len({tuple(p.values()) for p in found}) == 12
    assert found[0] == dict.fromkeys(PARAMETERS, 0)
    assert sum(x != 0 for x in found[1].values()) == 1
    assert [t.params for t in watcher.seen] == found[:11]
    assert [t.values for t in watcher.seen] == [t.values for t in study.trials[:11]]


def test_a_proposal_outside_the_limits_is_moved_inside():
    def feasible(parameters):
        return parameters["x0"] + parameters["x1"] >= 9

    domain = ParameterDomain(PARAMETERS, feasible)
    study = optuna.create_study(directions=BOTH, sampler=ConstrainedSampler(domain, Stuck()))
    ask_and_tell(study, 10)
    assert all(feasible(t.params) for t in study.trials)


def test_trials_may_be_enqueued():
    study = optuna.create_study(directions=BOTH, sampler=nsga())
    ask_and_tell(study, 3)
    enqueued = dict.fromkeys(PARAMETERS, 5)
    study.enqueue_trial(enqueued)
    ask_and_tell(study, 3)
    assert study.trials[3].params == enqueued


@pytest.mark.parametrize("directions", [BOTH, ["maximize"]])
def test_a_search_goes_on_with_half_of_the_networks_beyond_a_limit(directions):
    study = optuna.create_study(directions=directions, sampler=nsga())
    for _ in range(8 * POPULATION):
        trial = study.ask(PARAMETERS)
        if trial.params["x0"] % 2:  # such as a latency that breaks its limit
            study.tell(trial, state=TrialState.PRUNED)
        else:
            values = [sum(trial.params.values()), trial.params["x1"]]
            study.tell(trial, values[: len(directions)])
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert len(complete) > 2 * POPULATION
    assert max(generations(study)) >= 3
    # A generation has as many complete trials as the population, however many were pruned.
    full = [t for t in complete if t.system_attrs[GENERATION] == 0]
    assert len(full) == POPULATION


def test_the_seed_is_zero_unless_it_is_given():
    def proposals(*seed):
        limits = parse_limits(["madds=..60M"])
        sampler = ConstrainedSampler(SpaceDomain(mixnet, limits), Stuck(seed=0), *seed)
        study = optuna.create_study(directions=BOTH, sampler=sampler)
        ask_and_tell(study, 3)
        return [trial.params for trial in study.trials]

    assert proposals() == proposals(0) != proposals(-1)
