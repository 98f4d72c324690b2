"""The known-cost sampler in plain Optuna studies."""

import random

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nas.errors import LimitError, MixnasError
from nas.limits import Limit, parse_limits
from nas.samplers import KnownCostSampler, ParameterDomain, distributions
from nas.samplers.known_cost.costs import LearnedCost
from nas.samplers.known_cost.sampler import BEYOND
from nas.space import load_space
from tests.sampling import BOTH, KINDS, PARAMETERS, accuracy, cost, keys, made_up, run, tried
from tests.space.test_space import tiny

mixnet = load_space("mixnet")
DIGITS = {"a": IntDistribution(0, 9), "b": IntDistribution(0, 9)}


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


@pytest.mark.parametrize("max_score", [1.0, 100.0, None])
def test_the_front_is_better_than_that_of_random_search(max_score):
    domain = ParameterDomain(PARAMETERS)
    leads = []
    for seed in range(2):
        rng = random.Random(seed)
        chance = [domain.view(domain.draw(rng)) for _ in range(60)]
        sampler = KnownCostSampler(PARAMETERS, [cost], max_score=max_score, seed=seed)
        factor = max_score or 40.0
        found = tried(sampler, 30, lambda p, f=factor: (f * accuracy(p), cost(p)))
        assert len(set(keys(found))) == 30
        leads.append(volume(found) - volume(chance))  # chance has twice as many trials
    assert sum(leads) > 0.2


def test_initial_networks_are_spread_over_the_cost():
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
        KnownCostSampler(PARAMETERS, [cost], max_score=100.0),
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
        (mixnet, ["flops"], {}, "'flops' is not an exact cost of a network; name one of"),
        (PARAMETERS, ["madds"], {}, "plain parameters have no cost named 'madds'"),
        (mixnet, [], {}, "0 costs were given; 1 to 3 are supported"),
        (mixnet, ["madds"] * 4, {}, "4 costs were given"),
        (mixnet, ["madds"], {"feasible": bool}, "not 'feasible'"),
        (
            PARAMETERS,
            [cost],
            {"limits": parse_limits(["madds=1M"])},
            "use 'feasible'",
        ),
        ({"x": FloatDistribution(0, 1)}, [cost], {}, "'x' has no finite set of values"),
    ],
)
def test_contradictory_arguments_are_refused(space, costs, more, words):
    with pytest.raises(MixnasError, match=words):
        KnownCostSampler(space, costs, **more)


def test_networks_near_the_budget_are_proposed():
    # The more multiply-adds, the better: the front reaches the limit.
    limits = [Limit("madds", upper=200e6)]
    study = optuna.create_study(
        directions=BOTH, sampler=KnownCostSampler(mixnet, ["madds"], limits=limits, seed=1)
    )
    costs = []
    for _ in range(30):
        trial = study.ask(distributions(mixnet))
        costs.append(mixnet.cost(mixnet.from_params(trial.params)).madds)
        study.tell(trial, [0.95 - 0.5 * (costs[-1] / 1e6) ** -0.3, costs[-1]])
    assert sum(cost > 180e6 for cost in costs[10:]) >= 3


def test_the_reference_point_lies_at_the_largest_cost_and_beyond_it_in_turn():
    sampler = KnownCostSampler(DIGITS, [lambda p: p["a"]])
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    study.ask(DIGITS)
    costs = np.array([[0.0], [9.0]])
    improvement = sampler._improvement(np.array([0.5, 0.7]), costs)
    assert improvement._upper.max() == pytest.approx(9 * (1 + BEYOND))
    costs = np.array([[0.0], [9.0], [4.0]])
    improvement = sampler._improvement(np.array([0.5, 0.7, 0.6]), costs)
    assert improvement._upper.max() == 9
    alone = KnownCostSampler(DIGITS, [lambda p: 3.0])
    optuna.create_study(directions=BOTH, sampler=alone).ask(DIGITS)
    constant = alone._improvement(np.array([0.5, 0.7]), np.array([[3.0], [3.0]]))
    assert constant._upper.max() == 4.0


# -- options --------------------------------------------------------------------------------


def test_only_feasible_parameters_are_proposed():
    sampler = KnownCostSampler(PARAMETERS, [cost], feasible=lambda p: p["depth0"] < p["depth1"])
    found = tried(sampler, 20)
    assert all(p["depth0"] < p["depth1"] for p in found)
    assert len(set(keys(found))) == 20
    never = KnownCostSampler(PARAMETERS, [cost], feasible=lambda p: False)
    with pytest.raises(LimitError, match=r"of the parameters is feasible|none of 10,000"):
        tried(never, 1)


@pytest.mark.parametrize("costs", [["madds", "params"], ["params", "peak_memory", "madds"]])
def test_several_costs_are_supported(costs):
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


def test_a_reward_is_maximized():
    def reward(accuracy, costs):
        return accuracy - 0.01 * float(costs[0])

    def rewarded(parameters):
        return accuracy(parameters) - 0.01 * cost(parameters)

    def best(seed):
        sampler = KnownCostSampler(
            PARAMETERS,
            [cost],
            reward=reward,
            accuracy=lambda trial: trial.user_attrs["accuracy"],
            seed=seed,
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(30):
            trial = study.ask(PARAMETERS)
            trial.set_user_attr("accuracy", accuracy(trial.params))
            study.tell(trial, rewarded(trial.params))
        return study.best_value

    domain = ParameterDomain(PARAMETERS)
    rng = random.Random(0)
    drawn = [rewarded(domain.view(domain.draw(rng))) for _ in range(3000)]
    # The best of 30 draws lies at the 0.97 quantile on average.
    assert np.mean([best(seed) for seed in range(3)]) > np.quantile(drawn, 0.99)


def test_covariates_inform_of_accuracy():
    parameters = {name: CategoricalDistribution(range(4)) for name in "abcdefgh"}

    def secret(p):  # cannot be learned from the parameters
        return random.Random(str(p)).random()

    def spent(p):
        return 1.0 + sum(p.values())

    reached = []
    for covariates in ([], [secret]):
        sampler = KnownCostSampler(parameters, [spent], covariates=covariates)
        study = optuna.create_study(directions=BOTH, sampler=sampler)
        for _ in range(24):
            trial = study.ask(parameters)
            study.tell(trial, [secret(trial.params), spent(trial.params)])
        reached.append(np.mean([t.values[0] for t in study.trials[10:]]))
    without, with_covariate = reached
    assert with_covariate > without + 0.15


def test_costs_and_covariates_may_be_zero_or_negative():
    sampler = KnownCostSampler(
        PARAMETERS, [lambda p: cost(p) - 8.0], covariates=[lambda p: -p["depth0"], lambda p: 0.0]
    )
    found = tried(sampler, 14, lambda p: (accuracy(p), cost(p) - 8.0))
    assert len(set(keys(found))) == 14


def test_a_cost_may_be_learned():
    class Learned:
        factor = 1.0
        seen = ()
        uncertainty = 0.0

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
    assert sampler._known.costs(genotypes)[:, 0].tolist() == [2.0 * cost(p) for p in found]


def test_percentages_with_a_maximum_score_of_one_are_refused():
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=KnownCostSampler(PARAMETERS, [cost])
    )
    study.tell(study.ask(PARAMETERS), [93.1, 1.0])
    with pytest.raises(
        MixnasError, match=r"93\.1 exceeds the maximum score of 1; pass max_s.*=100"
    ):
        study.ask(PARAMETERS)


def test_a_reward_requires_a_function_for_the_accuracy():
    with pytest.raises(MixnasError, match="a trial's value is not its accuracy; pass a function"):
        KnownCostSampler(PARAMETERS, [cost], reward=lambda accuracy, costs: accuracy)
