"""Our samplers keep the contract that users' own ones are tested by."""

import pytest

from nas.samplers import open_sampler
from nas.samplers.random import RandomSampler
from nas.testing.samplers import SamplerContract

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class TestRandomSampler(SamplerContract):
    def sampler(self, problem):
        return RandomSampler(problem.domain, problem.seed)


class TestRegularizedEvolution(SamplerContract):
    def sampler(self, problem):
        return open_sampler("evolution", problem)


class TestKnownCostSampler(SamplerContract):
    trials = 12

    def sampler(self, problem):
        return open_sampler("known-cost", problem)


class TestController(SamplerContract):
    def sampler(self, problem):
        return open_sampler("controller", problem)


class TestTPE(SamplerContract):
    repeats = False  # the randomness of Optuna's own samplers goes on from study to study

    def sampler(self, problem):
        return open_sampler("tpe", problem)


class Forgetful(RandomSampler):
    """Proposes the same network again and again, which the contract must notice."""

    def next_proposal(self, study, number):
        return self.propose(study, [], number, __import__("random").Random(0))


def test_the_contract_notices_a_sampler_that_repeats_itself():
    class Repeats(SamplerContract):
        def sampler(self, problem):
            return Forgetful(problem.domain, problem.seed)

    with pytest.raises(AssertionError):
        Repeats().test_proposals_are_new_members_within_the_limits()
    with pytest.raises(AssertionError):
        Repeats().test_parallel_workers_are_given_different_networks()
