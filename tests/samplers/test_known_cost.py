"""The known-cost sampler in plain Optuna studies."""

import copy
import random

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from nas.errors import ExhaustedError, LimitError, MixnasError
from nas.limits import parse_limits
from nas.samplers import KnownCostSampler, ParameterDomain, distributions
from nas.samplers.accuracy_model import KEEP_MOST
from nas.samplers.known_cost import LearnedCost, _even, _milestone, _telling
from nas.space import load_space
from tests.sampling import BOTH, made_up, run
from tests.space.test_space import tiny

mixnet = load_space("mixnet")
KINDS = ["plain", "wide", "deep"]
PARAMETERS = {
    **{f"depth{i}": IntDistribution(1, 4) for i in range(4)},
    **{f"kind{i}": CategoricalDistribution(KINDS) for i in range(4)},
    "rate": FloatDistribution(0.1, 0.7, step=0.1),
}
WORTH = {"plain": 0.0, "wide": 0.3, "deep": 0.1}
FEW = {"a": IntDistribution(0, 2), "b": CategoricalDistribution("xyz"), "c": IntDistribution(1, 2)}


def cost(parameters):
    return sum(
        parameters[f"depth{i}"] * (2 if parameters[f"kind{i}"] == "wide" else 1) for i in range(4)
    )


def accuracy(parameters):
    quality = sum(
        (i + 1) * np.log(parameters[f"depth{i}"]) / 4 + WORTH[parameters[f"kind{i}"]]
        for i in range(4)
    )
    return float(0.95 - 0.5 * np.exp(-quality) - 0.2 * (parameters["rate"] - 0.4) ** 2)


def tried(sampler, n, values=lambda p: (accuracy(p), cost(p)), directions=BOTH, study=None):
    """Ask and tell; returns the parameters of every trial."""
    study = study or optuna.create_study(directions=directions, sampler=sampler)
    found = []
    for _ in range(n):
        trial = study.ask(PARAMETERS)
        study.tell(trial, values(trial.params))
        found.append(trial.params)
    return found


def keys(found):
    return [tuple(parameters.items()) for parameters in found]


def apart(one, two):
    return sum(one[name] != two[name] for name in one)


# -- in a study -----------------------------------------------------------------------------


def test_parameters_are_suggested_one_by_one():
    def objective(trial):
        parameters = {
            **{f"depth{i}": trial.suggest_int(f"depth{i}", 1, 4) for i in range(4)},
            **{f"kind{i}": trial.suggest_categorical(f"kind{i}", KINDS) for i in range(4)},
            "rate": trial.suggest_float("rate", 0.1, 0.7, step=0.1),
        }
        return accuracy(parameters), cost(parameters)

    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    study.optimize(objective, n_trials=16)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 16
    assert len(set(keys(t.params for t in study.trials))) == 16


def test_networks_are_suggested_variable_by_variable():
    def objective(trial):
        for name, distribution in distributions(mixnet).items():
            trial.suggest_categorical(name, distribution.choices)
        genotype = mixnet.from_params(trial.params)
        return made_up(mixnet, genotype), mixnet.cost(genotype).madds

    limits = parse_limits(["madds=200M..300M"])
    sampler = KnownCostSampler(mixnet, ["madds"], limits=limits)
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    study.optimize(objective, n_trials=14)
    madds = [t.values[1] for t in study.trials]
    assert 200e6 <= min(madds) <= max(madds) <= 300e6
    assert len({mixnet.from_params(t.params) for t in study.trials}) == 14


def volume(found):
    """Return the area that parameters dominate."""
    points = sorted((cost(p), accuracy(p)) for p in found)
    area, best, last = 0.0, 0.4, 0.0
    for spent, reached in [*points, (32, 0.0)]:
        area += (spent - last) * (best - 0.4)
        best, last = max(best, reached), spent
    return area


@pytest.mark.parametrize("ceiling", [1.0, 100.0, None])
def test_it_finds_a_better_front_than_chance(ceiling):
    domain = ParameterDomain(PARAMETERS)
    for seed in range(2):
        rng = random.Random(seed)
        chance = [domain.view(domain.draw(rng)) for _ in range(60)]
        sampler = KnownCostSampler(PARAMETERS, [cost], ceiling=ceiling, seed=seed)
        factor = ceiling or 40.0
        found = tried(sampler, 30, lambda p, f=factor: (f * accuracy(p), cost(p)))
        assert len(set(keys(found))) == 30
        assert volume(found) > volume(chance)


def test_it_starts_with_a_spread_over_the_cost():
    first, second, *rest = (cost(p) for p in tried(KnownCostSampler(PARAMETERS, [cost]), 6))
    assert first < min(rest)
    assert second > max(rest)


@pytest.mark.parametrize("space", [tiny, mixnet], ids=["tiny", "mixnet"])
def test_a_seed_repeats_the_proposals(space):
    one, two, other = (
        run(KnownCostSampler(space, ["madds"], seed=seed), space, 12) for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other


def test_proposals_do_not_depend_on_the_unit_of_accuracy():
    fractions = tried(KnownCostSampler(PARAMETERS, [cost]), 16)
    percent = tried(
        KnownCostSampler(PARAMETERS, [cost], ceiling=100.0),
        16,
        lambda p: (100 * accuracy(p), cost(p)),
    )
    assert percent == fractions


@pytest.mark.parametrize(
    "directions",
    [
        ["maximize"],
        ["minimize", "maximize"],
        ["maximize"] * 2,
        ["maximize", "minimize", "minimize"],
    ],
)
def test_other_directions_are_refused(directions):
    words = r"directions=\['maximize', 'minimize'\]: accuracy first, then the costs"
    with pytest.raises(MixnasError, match=words):
        tried(KnownCostSampler(PARAMETERS, [cost]), 1, directions=directions)


@pytest.mark.parametrize(
    ("space", "costs", "more", "words"),
    [
        (mixnet, ["flops"], {}, "'flops' is no cost that follows from a network; name one of"),
        (PARAMETERS, ["madds"], {}, "plain parameters have no cost named 'madds'"),
        (mixnet, [], {}, "0 costs were given; 1 to 3 can be weighed"),
        (mixnet, ["madds"] * 4, {}, "4 costs were given"),
        (mixnet, ["madds"], {"feasible": bool}, "not 'feasible'"),
        (PARAMETERS, [cost], {"limits": parse_limits(["madds=1M"])}, "plain parameters take"),
        ({"x": FloatDistribution(0, 1)}, [cost], {}, "'x' has no finite set of values"),
    ],
)
def test_what_does_not_go_together_is_refused(space, costs, more, words):
    with pytest.raises(MixnasError, match=words):
        KnownCostSampler(space, costs, **more)


def test_other_parameters_are_refused():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    trial = study.ask(PARAMETERS)
    with pytest.raises(MixnasError, match="'extra' is no variable of 'the parameters'"):
        trial.suggest_int("extra", 0, 1)


# -- what is asked for ----------------------------------------------------------------------


def test_the_feasible_alone_is_proposed():
    sampler = KnownCostSampler(PARAMETERS, [cost], feasible=lambda p: p["depth0"] < p["depth1"])
    found = tried(sampler, 20)
    assert all(p["depth0"] < p["depth1"] for p in found)
    assert len(set(keys(found))) == 20
    never = KnownCostSampler(PARAMETERS, [cost], feasible=lambda p: False)
    with pytest.raises(LimitError, match="none of 10,000 draws is feasible"):
        tried(never, 1)


@pytest.mark.parametrize("costs", [["madds", "params"], ["params", "peak_memory", "madds"]])
def test_several_costs_are_weighed(costs):
    sampler = KnownCostSampler(tiny, costs)
    study = optuna.create_study(
        directions=["maximize", *["minimize"] * len(costs)], sampler=sampler
    )
    found = set()
    for _ in range(18):
        trial = study.ask(distributions(tiny))
        genotype = tiny.from_params(trial.params)
        known = [getattr(tiny.cost(genotype), name) for name in costs]
        study.tell(trial, [made_up(tiny, genotype), *known])
        found.add(genotype)
    assert len(found) == 18


def test_a_reward_is_raised():
    def reward(accuracy, costs):
        return accuracy - 0.01 * float(costs[0])

    def rewarded(parameters):
        return accuracy(parameters) - 0.01 * cost(parameters)

    study = optuna.create_study(
        direction="maximize",
        sampler=KnownCostSampler(
            PARAMETERS, [cost], reward=reward, accuracy=lambda trial: trial.user_attrs["accuracy"]
        ),
    )
    for _ in range(30):
        trial = study.ask(PARAMETERS)
        trial.set_user_attr("accuracy", accuracy(trial.params))
        study.tell(trial, rewarded(trial.params))
    domain = ParameterDomain(PARAMETERS)
    rng = random.Random(0)
    drawn = [rewarded(domain.view(domain.draw(rng))) for _ in range(3000)]
    assert study.best_value > np.quantile(drawn, 0.998)


def test_hints_tell_of_accuracy():
    parameters = {name: CategoricalDistribution(range(4)) for name in "abcdefgh"}

    def secret(p):  # nothing that could be learned from parameters
        return random.Random(str(p)).random()

    def spent(p):
        return 1.0 + sum(p.values())

    reached = []
    for hints in ([], [secret]):
        sampler = KnownCostSampler(parameters, [spent], hints=hints)
        study = optuna.create_study(directions=BOTH, sampler=sampler)
        for _ in range(24):
            trial = study.ask(parameters)
            study.tell(trial, [secret(trial.params), spent(trial.params)])
        reached.append(np.mean([t.values[0] for t in study.trials[10:]]))
    without, with_hint = reached
    assert with_hint > without + 0.15


def test_costs_and_hints_may_be_nothing_or_negative():
    sampler = KnownCostSampler(
        PARAMETERS, [lambda p: cost(p) - 8.0], hints=[lambda p: -p["depth0"], lambda p: 0.0]
    )
    found = tried(sampler, 14, lambda p: (accuracy(p), cost(p) - 8.0))
    assert len(set(keys(found))) == 14


def test_a_cost_may_be_learned():
    class Learned:
        factor = 1.0
        seen = ()
        sure = True

        def learn_from(self, past):
            before, self.factor = self.factor, 2.0 if len(past) >= 5 else 1.0
            self.seen = past
            return before != self.factor

        def __call__(self, parameters):
            return self.factor * cost(parameters)

    learned = Learned()
    assert isinstance(learned, LearnedCost)
    assert not isinstance(cost, LearnedCost)
    sampler = KnownCostSampler(PARAMETERS, [learned])
    found = tried(sampler, 14)
    assert learned.factor == 2.0
    assert len(learned.seen) == 13
    genotypes = [sampler.domain.from_parameters(p) for p in found]
    assert sampler._costs(genotypes)[:, 0].tolist() == [2.0 * cost(p) for p in found]


# -- what happens ---------------------------------------------------------------------------


def test_what_is_under_way_sends_others_elsewhere():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    tried(None, 12, study=study)
    waiting = [study.ask(PARAMETERS).params for _ in range(6)]
    for i, one in enumerate(waiting):
        assert all(apart(one, two) > 1 for two in waiting[:i])


def test_all_may_be_asked_before_any_is_told():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    trials = [study.ask(PARAMETERS) for _ in range(20)]
    assert len(set(keys(t.params for t in trials))) == 20


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -3.0])
def test_constant_accuracies_are_survived(value):
    found = tried(KnownCostSampler(PARAMETERS, [cost]), 14, lambda p: (value, cost(p)))
    assert len(set(keys(found))) == 14


def test_trials_that_fail_are_not_learned_from_nor_repeated():
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


def test_trials_without_an_accuracy_are_passed_over():
    sampler = KnownCostSampler(PARAMETERS, [cost], accuracy=lambda trial: None)
    assert len(set(keys(tried(sampler, 14)))) == 14


def test_a_small_set_is_tried_to_the_end():
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
    with pytest.raises(ExhaustedError, match="18 networks of 'the parameters' were tried"):
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


def test_thousands_of_observations_are_thinned():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    add(study, 3 * KEEP_MOST)
    known = {tuple(sorted(t.params.items())) for t in study.trials}
    trial = study.ask(PARAMETERS)
    assert tuple(sorted(trial.params.items())) not in known
    assert len(study.sampler._model._process.X_train_) == KEEP_MOST


def test_the_thinned_hold_the_front():
    rng = np.random.default_rng(0)
    accuracies, costs = rng.uniform(0, 1, 3000), rng.uniform(0, 1, (3000, 1))
    kept = _telling(accuracies, costs)
    assert len(np.unique(kept)) == KEEP_MOST
    order = np.argsort(costs[:, 0])
    front = order[accuracies[order] == np.maximum.accumulate(accuracies[order])]
    assert set(front) <= set(kept)


def test_a_search_goes_on_with_a_new_sampler():
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


def test_trials_that_were_enqueued_are_learned_from():
    sampler = KnownCostSampler(PARAMETERS, [cost])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    wanted = {**ParameterDomain(PARAMETERS).view((0,) * 9), "rate": 0.3}
    study.enqueue_trial(wanted)
    found = tried(None, 12, study=study)
    assert found[0] == wanted
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


def test_what_a_trial_has_not_shown_yet_is_not_proposed_again():
    sampler = KnownCostSampler(FEW, [lambda p: p["a"] + p["c"]], start=2)
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    waiting = [study.ask() for _ in range(18)]
    for name, distribution in FEW.items():
        for trial in waiting:
            trial._suggest(name, distribution)
    assert len(set(keys(trial.params for trial in waiting))) == 18


def test_a_copy_of_a_sampler_goes_on_as_it_would():
    study = optuna.create_study(directions=BOTH, sampler=KnownCostSampler(PARAMETERS, [cost]))
    tried(None, 12, study=study)
    other = copy.deepcopy(study)
    assert other.ask(PARAMETERS).params == study.ask(PARAMETERS).params


# -- small parts ----------------------------------------------------------------------------


def test_an_even_spread_halves_the_gaps():
    assert [_even(i) for i in range(9)] == [
        0, 1, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875
    ]  # fmt: skip


def test_hyperparameters_are_fitted_the_more_seldom_the_more_is_known():
    milestones = [_milestone(n) for n in range(2, 3000)]
    assert milestones[:31] == list(range(2, 33))
    assert all(m <= n for n, m in enumerate(milestones, start=2))
    assert milestones == sorted(milestones)
    assert len(set(milestones)) < 80


def test_percent_under_a_ceiling_of_one_is_refused():
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=KnownCostSampler(PARAMETERS, [cost])
    )
    study.tell(study.ask(PARAMETERS), [93.1, 1.0])
    with pytest.raises(MixnasError, match=r"93\.1 is above the ceiling of 1; give .* ceiling=100"):
        study.ask(PARAMETERS)


def test_a_reward_needs_to_know_where_accuracy_is():
    with pytest.raises(MixnasError, match="say by 'accuracy' where a trial has its accuracy"):
        KnownCostSampler(PARAMETERS, [cost], reward=lambda accuracy, costs: accuracy)
