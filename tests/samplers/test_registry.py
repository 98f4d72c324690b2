import dataclasses
import random
from math import inf
from statistics import median

import optuna
import pytest

from nas.errors import ExhaustedError, MixnasError
from nas.latency.prediction.genotype import GenotypeLatency
from nas.limits import Limit, parse_limits
from nas.lowering import MERGE_ALL
from nas.objective import Objective, open_objective
from nas.samplers import SAMPLERS, LatencyCost, SearchProblem, distributions, open_sampler
from nas.samplers.random import RandomSampler
from nas.space import load_space, space_from_yaml
from nas.testing.fakes import CONDITIONS, InstantDevice, SecondDevice
from tests.sampling import BOTH, made_up, run
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
LIMITS = tuple(parse_limits(["madds=300M..320M"]))

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_are_new_members_within_limits(name):
    count = {"gp": 12, "known-cost": 16, "controller": 16}.get(name, 25)
    genotypes = run(open_sampler(name, SearchProblem(mixnet, LIMITS, seed=1)), mixnet, count)
    assert len(set(genotypes)) == count
    for genotype in genotypes:
        assert mixnet.contains(mixnet.decode(genotype))
        assert 300e6 <= mixnet.cost(genotype).madds <= 320e6


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_repeats_the_proposals(name):
    count = 11 if name == "gp" else 13
    one, two, other = (
        run(open_sampler(name, SearchProblem(mixnet, LIMITS, seed=seed)), mixnet, count)
        for seed in (3, 3, 4)
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize("name", SAMPLERS)
def test_spaces_with_conditions_are_searched(name):
    genotypes = run(open_sampler(name, SearchProblem(tiny, seed=2)), tiny, 20)
    assert len(set(genotypes)) == 20
    assert set(genotypes) <= everything(tiny)


@pytest.mark.parametrize("name", SAMPLERS)
def test_small_spaces_are_exhausted(name):
    six = space_from_yaml(
        "{name: six, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16, 24]}, "
        "expansion: {choice: [2, 3]}}}}"
    )
    sampler = open_sampler(name, SearchProblem(six))
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    assert len(set(run(sampler, six, 6, study=study))) == 6
    with pytest.raises(
        ExhaustedError, match="every network of 'six' within the limits was tried, 6 in all"
    ):
        run(sampler, six, 1, study=study)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_reward_alone_is_maximized(name):
    problem = SearchProblem(tiny, objective=open_objective("mnasnet", "3ms"))
    genotypes = run(open_sampler(name, problem), tiny, 14, directions=["maximize"])
    assert len(set(genotypes)) == 14


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_forgets_an_earlier_study(name):
    used = open_sampler(name, SearchProblem(tiny, seed=2))
    first = run(used, tiny, 12)
    again = run(used, tiny, 12)
    assert len(set(again)) == 12
    if name in ("known-cost", "random", "evolution", "controller"):
        assert again == first  # Optuna's samplers do not restart their generators


@pytest.mark.parametrize("name", SAMPLERS)
def test_many_trials_may_be_asked_before_any_result(name):
    study = optuna.create_study(
        directions=BOTH, sampler=open_sampler(name, SearchProblem(mixnet, LIMITS))
    )
    trials = [study.ask(distributions(mixnet)) for _ in range(4)]
    genotypes = [mixnet.from_params(trial.params) for trial in trials]
    assert len(set(genotypes)) == 4
    for trial, genotype in list(zip(trials, genotypes, strict=True))[::-1]:
        study.tell(trial, [made_up(mixnet, genotype), mixnet.cost(genotype).madds])
    after = mixnet.from_params(study.ask(distributions(mixnet)).params)
    assert after not in genotypes


def test_unknown_samplers_are_refused():
    with pytest.raises(MixnasError, match=r"unknown sampler 'tpee'.*did you mean 'tpe'"):
        open_sampler("tpee", SearchProblem(mixnet))


def test_a_users_own_sampler_is_imported():
    sampler = open_sampler("tests.sampling:create_random", SearchProblem(tiny, seed=3))
    assert isinstance(sampler, RandomSampler)
    assert run(sampler, tiny, 3) == run(
        open_sampler("random", SearchProblem(tiny, seed=3)), tiny, 3
    )


def test_factories_of_other_objects_are_refused():
    with pytest.raises(MixnasError, match=r"returned RandomSampler; it must .*GenotypeSampler"):
        open_sampler("tests.sampling:create_other", SearchProblem(tiny))
    with pytest.raises(MixnasError, match="has no 'missing'"):
        open_sampler("tests.sampling:missing", SearchProblem(tiny))


def test_known_cost_learns_latency_from_the_trials():
    latency = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    sampler = open_sampler("known-cost", SearchProblem(mixnet, latencies=(LatencyCost(latency),)))
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    device = InstantDevice()
    errors = []
    for _ in range(18):
        trial = study.ask(distributions(mixnet))
        genotype = mixnet.from_params(trial.params)
        measured = device.measure(mixnet.decode(genotype))
        errors.append(abs(latency(genotype) / measured.steady_ms - 1))
        accuracy = made_up(mixnet, genotype)
        trial.set_user_attr("estimate", {"accuracy": accuracy})
        trial.set_user_attr("latency", dataclasses.asdict(measured))
        study.tell(trial, [accuracy, measured.steady_ms])
    assert errors[0] > 1e3  # the cost is MAdds at first
    assert median(errors[-6:]) < 0.1


def test_a_limit_on_learned_latency_counts_as_far_as_it_is_known():
    device = InstantDevice()
    found = [mixnet.draw(random.Random(seed)) for seed in range(60)]
    measured = [(g, device.measure(mixnet.decode(g))) for g in found]
    true = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    true.learn(measured)  # what can be learned
    measured = [(g, dataclasses.replace(m, steady_ms=true(g))) for g, m in measured]
    latency = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    bound = median(m.steady_ms for _, m in measured)
    cost = LatencyCost(latency, (Limit("latency", upper=bound),))
    problem = SearchProblem(mixnet, LIMITS, latencies=(cost,))
    known = open_sampler("known-cost", problem)._known
    latency.learn(measured[:6])
    assert latency.ready
    assert latency.uncertainty == inf
    assert known.violations(found).tolist() == [0] * 60
    for n in range(7, 61):
        latency.learn(measured[:n])
    doubt = latency.uncertainty
    assert 0 < doubt < 0.3
    known._cache.clear()  # as after a trial from which latency was learned
    expected = [max(0, latency(g) / (1 + doubt) / bound - 1) for g in found]
    assert known.violations(found) == pytest.approx(expected)
    assert 5 < sum(violation > 0 for violation in expected) < 40


DEVICES = ["maximize", "minimize", "minimize"]


@pytest.mark.parametrize(
    "name", ["known-cost", "evolution", "controller", "tpe", "nsga2", "random"]
)
def test_several_latencies_are_objectives_of_their_own(name):
    latencies = tuple(
        LatencyCost(GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS), attribute=attribute)
        for attribute in ("latency", "latency@b")
    )
    problem = SearchProblem(mixnet, latencies=latencies, objective=Objective("pareto", devices=2))
    sampler = open_sampler(name, problem)
    study = optuna.create_study(directions=DEVICES, sampler=sampler)
    found = set()
    for _ in range(14):
        trial = study.ask(distributions(mixnet))
        genotype = mixnet.from_params(trial.params)
        spec = mixnet.decode(genotype)
        measured = [InstantDevice().measure(spec), SecondDevice().measure(spec)]
        accuracy = made_up(mixnet, genotype)
        trial.set_user_attr("estimate", {"accuracy": accuracy})
        for cost, latency in zip(latencies, measured, strict=True):
            trial.set_user_attr(cost.attribute, dataclasses.asdict(latency))
        study.tell(trial, [accuracy, *(latency.steady_ms for latency in measured)])
        found.add(genotype)
    assert len(found) == 14
    if name == "known-cost":  # each of the two was learned from its own measurements
        known = [cost.latency(genotype) for cost in latencies]
        assert known == pytest.approx([latency.steady_ms for latency in measured], rel=0.3)


def test_known_cost_takes_three_devices():
    cost = LatencyCost(GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS))
    open_sampler("known-cost", SearchProblem(mixnet, latencies=(cost,) * 3))
    with pytest.raises(MixnasError, match="takes up to 3 devices, not 4; choose --sampler nsga3"):
        open_sampler("known-cost", SearchProblem(mixnet, latencies=(cost,) * 4))
