import itertools

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from nas.limits import parse_limits
from nas.samplers import ParameterDomain, SpaceDomain
from nas.samplers.controller import BATCH, ControllerSampler, Policy
from nas.space import INACTIVE, load_space, space_from_yaml
from tests.sampling import BOTH, run
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
PARAMETERS = {f"x{i}": CategoricalDistribution(range(4)) for i in range(8)}


def zeros(parameters):
    return sum(value == 0 for value in parameters.values()) / len(parameters)


def run_study(sampler, n, values, directions=("maximize",), before=()):
    study = optuna.create_study(directions=directions, sampler=sampler)
    study.add_trials(before)
    for _ in range(n):
        trial = study.ask(PARAMETERS)
        study.tell(trial, values(trial.params))
    return study


def test_rewards_of_samples_rise():
    study = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), 160, zeros)
    means = [sum(t.value for t in study.trials[at : at + 40]) / 40 for at in (0, 120)]
    assert means[0] < 0.35
    assert means[1] > means[0] + 0.2


def test_accuracy_and_cost_are_made_one_reward():
    def values(parameters):
        return [0.5, 10.0 ** (1 - 2 * zeros(parameters))]  # the cheaper the more zeros

    study = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), 240, values, BOTH)
    means = [sum(zeros(t.params) for t in study.trials[at : at + 40]) / 40 for at in (0, 200)]
    assert means[1] > means[0] + 0.1


def test_a_policy_that_has_converged_still_yields_new_networks():
    study = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), 400, zeros)
    last = study.trials[-100:]
    assert sum(t.value for t in last) / 100 > 0.5
    assert len({tuple(t.params.values()) for t in study.trials}) == 400


def test_a_seed_repeats_the_proposals():
    one, two, other = (
        [
            t.params
            for t in run_study(ControllerSampler(ParameterDomain(PARAMETERS), s), 24, zeros).trials
        ]
        for s in (1, 1, 2)
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize("n", [BATCH, 3 * BATCH + 3])
def test_a_new_sampler_continues_with_the_same_policy(n):
    study = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), n, zeros)
    again = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), 6, zeros, before=study.trials)
    study = run_study(study.sampler, 0, zeros, before=study.trials)
    for _ in range(6):
        trial = study.ask(PARAMETERS)
        study.tell(trial, zeros(trial.params))
    assert [t.params for t in again.trials] == [t.params for t in study.trials]


def test_batches_are_learned_in_the_order_of_trials():
    # In the first study results arrive in reverse, in the second one by one.
    first, second = (ControllerSampler(ParameterDomain(PARAMETERS)) for _ in range(2))
    study = optuna.create_study(direction="maximize", sampler=first)
    waiting = [study.ask(PARAMETERS) for _ in range(2 * BATCH)]
    for trial in waiting[::-1]:
        study.tell(trial, zeros(trial.params))
    other = optuna.create_study(direction="maximize", sampler=second)
    for trial in study.trials:
        other.add_trial(trial)
        second.next_proposal(other, trial.number + 1)
    assert study.ask(PARAMETERS).params == other.ask(PARAMETERS).params


def test_failed_trials_are_counted_and_not_learned_from():
    sampler = ControllerSampler(ParameterDomain(PARAMETERS))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    fresh = [p.clone() for p in sampler._policy.parameters()]
    for _ in range(BATCH):
        study.tell(study.ask(PARAMETERS), state=TrialState.FAIL)
    study.ask(PARAMETERS)
    unchanged = sampler._policy.parameters()
    assert all(torch.equal(a, b) for a, b in zip(fresh, unchanged, strict=True))
    assert sampler._learned == BATCH


def test_equal_rewards_are_accepted():
    study = run_study(ControllerSampler(ParameterDomain(PARAMETERS)), 4 * BATCH, lambda p: 0.5)
    assert len({tuple(t.params.values()) for t in study.trials}) == 4 * BATCH


def test_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run_study(ControllerSampler(ParameterDomain(PARAMETERS)), BATCH + 1, zeros)
    assert torch.equal(torch.rand(3), expected)


def test_samples_are_canonical_members():
    policy = Policy([size for _, size, _ in SpaceDomain(tiny).variables()], range(11))
    generator = torch.Generator().manual_seed(0)
    drawn = [policy.sample(SpaceDomain(tiny), generator) for _ in range(50)]
    assert all(tiny.canonical(g) == g for g in drawn)
    assert any(INACTIVE in g for g in drawn)
    assert set(run(ControllerSampler(SpaceDomain(tiny)), tiny, 12)) <= everything(tiny)


def test_limits_are_kept():
    domain = SpaceDomain(mixnet, parse_limits(["madds=200M..220M"]))
    for genotype in run(ControllerSampler(domain), mixnet, 4):
        assert 200e6 <= mixnet.cost(genotype).madds <= 220e6


def test_likelihoods_sum_to_one():
    torch.manual_seed(0)
    domain = SpaceDomain(tiny)
    policy = Policy([size for _, size, _ in domain.variables()], domain.order())
    ranges = [range(size) for _, size, _ in domain.variables()]
    every = sorted({tiny.canonical(g) for g in itertools.product(*ranges)})
    with torch.no_grad():
        likelihoods, entropies = policy.log_likelihood(every)
    assert float(likelihoods.exp().sum()) == pytest.approx(1.0, rel=1e-4)
    assert (entropies > 0).all()


def test_a_choice_that_depends_on_a_later_depth_is_reached():
    # `mix` exists only if a or b has a second block; the depth of b is chosen after it.
    space = space_from_yaml(
        """
        name: later
        stem: {channels: 8}
        variables: {mix: {choice: [[3], [5], [7]]}}
        stages:
          a: {channels: 8, depth: {choice: [1, 2]}, kernels: 3, rest: {kernels: $mix}}
          b: {channels: 8, depth: {choice: [1, 2]}, kernels: 3, rest: {kernels: $mix}}
        """
    )
    domain = SpaceDomain(space)
    policy = Policy([size for _, size, _ in domain.variables()], domain.order())
    generator = torch.Generator().manual_seed(0)
    drawn = {policy.sample(domain, generator) for _ in range(300)}
    assert drawn == everything(space)
    assert len(drawn) == 1 + 3 * 3
    # Variables that others depend on come first.
    variables = space.variables
    assert [bool(variables[i].sites) for i in domain.order()] == [False, False, True]


def test_every_order_reaches_everything():
    domain = SpaceDomain(tiny)
    sizes = [size for _, size, _ in domain.variables()]
    policy = Policy(sizes, list(reversed(domain.order())))
    generator = torch.Generator().manual_seed(0)
    drawn = [policy.sample(domain, generator) for _ in range(400)]
    assert all(tiny.canonical(g) == g for g in drawn)
    reached = [{g[i] for g in drawn} for i in range(len(sizes))]
    members = everything(tiny)
    assert all(found >= {g[i] for g in members} for i, found in enumerate(reached))
