"""The contract of samplers, as pytest tests to subclass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import optuna
import pytest
from optuna.trial import TrialState

from nas.errors import ExhaustedError
from nas.limits import parse_limits
from nas.objective import Direction, open_objective
from nas.samplers import GenotypeSampler, SearchProblem, distributions
from nas.space import Genotype, Space, load_space, space_from_yaml

PARETO_DIRECTIONS: list[Direction] = ["maximize", "minimize"]
"""Directions of a study of accuracy and latency."""
_SIX = (
    "{name: six, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16, 24]}, "
    "expansion: {choice: [2, 3]}}}}"
)


def accuracy(space: Space, genotype: Genotype) -> float:
    """Return a made-up accuracy that grows with the number of parameters."""
    return float(0.95 - 0.4 * (1e6 / (1e6 + space.cost(genotype).params)) ** 0.5)


def search(
    sampler: GenotypeSampler,
    space: Space,
    trials: int,
    directions: Sequence[Direction] = tuple(PARETO_DIRECTIONS),
    study: optuna.Study | None = None,
) -> list[Genotype]:
    """Ask and tell accuracies and multiply-adds; return the genotypes that were proposed."""
    study = study or optuna.create_study(directions=list(directions), sampler=sampler)
    genotypes = []
    for _ in range(trials):
        trial = study.ask(distributions(space))
        genotype = space.from_params(trial.params)
        score = accuracy(space, genotype)
        trial.set_user_attr("estimate", {"accuracy": score})
        values = [score, space.cost(genotype).madds]
        study.tell(trial, values[: len(directions)])
        genotypes.append(genotype)
    return genotypes


class SamplerContract:
    """Tests of a sampler; a subclass implements `sampler`.

    Attributes:
        trials: Number of trials of one test; fewer for samplers that take long to propose.
        repeats: Whether a seed repeats the proposals.
    """

    trials = 16
    repeats = True

    @abstractmethod
    def sampler(self, problem: SearchProblem) -> GenotypeSampler:
        """Return a new sampler for a problem."""

    def test_proposals_are_new_members_within_the_limits(self) -> None:
        """No network is proposed twice, and all are inside the space and its limits."""
        space, limits = load_space("mixnet"), tuple(parse_limits(["madds=300M..320M"]))
        sampler = self.sampler(SearchProblem(space, limits, seed=1))
        genotypes = search(sampler, space, self.trials)
        assert len(set(genotypes)) == self.trials
        for genotype in genotypes:
            assert space.contains(space.decode(genotype))
            assert 300e6 <= space.cost(genotype).madds <= 320e6

    def test_a_seed_decides_the_proposals(self) -> None:
        """The same seed gives the same proposals, another seed gives others."""
        if not self.repeats:
            pytest.skip("the sampler is not repeatable")
        space = load_space("mixnet")
        one, two, other = (
            search(self.sampler(SearchProblem(space, seed=seed)), space, self.trials)
            for seed in (3, 3, 4)
        )
        assert one == two
        assert one != other

    def test_a_small_space_runs_dry(self) -> None:
        """All networks of a space are proposed, then `ExhaustedError` is raised."""
        space = space_from_yaml(_SIX)
        sampler = self.sampler(SearchProblem(space))
        study = optuna.create_study(directions=PARETO_DIRECTIONS, sampler=sampler)
        assert len(set(search(sampler, space, 6, study=study))) == 6
        with pytest.raises(ExhaustedError):
            search(sampler, space, 1, study=study)

    def test_a_reward_is_a_single_objective(self) -> None:
        """A search for one number works as well."""
        space = load_space("mixnet")
        problem = SearchProblem(space, objective=open_objective("mnasnet", "3ms"))
        genotypes = search(self.sampler(problem), space, self.trials, ["maximize"])
        assert len(set(genotypes)) == self.trials

    def test_failed_and_pruned_trials_are_not_proposed_again(self) -> None:
        """A trial that ended without a result counts as tried, and does no harm."""
        space = space_from_yaml(_SIX)
        sampler = self.sampler(SearchProblem(space))
        study = optuna.create_study(directions=PARETO_DIRECTIONS, sampler=sampler)
        ended = []
        for state in (TrialState.FAIL, TrialState.PRUNED):
            trial = study.ask(distributions(space))
            ended.append(space.from_params(trial.params))
            study.tell(trial, state=state)
        rest = search(sampler, space, 4, study=study)
        assert len({*ended, *rest}) == 6

    def test_parallel_workers_are_given_different_networks(self) -> None:
        """Several networks can be asked for before the first result is told."""
        space = load_space("mixnet")
        sampler = self.sampler(SearchProblem(space))
        study = optuna.create_study(directions=PARETO_DIRECTIONS, sampler=sampler)
        trials = [study.ask(distributions(space)) for _ in range(4)]
        genotypes = [space.from_params(trial.params) for trial in trials]
        assert len(set(genotypes)) == 4
        for trial, genotype in list(zip(trials, genotypes, strict=True))[::-1]:
            study.tell(trial, [accuracy(space, genotype), space.cost(genotype).madds])
        assert space.from_params(study.ask(distributions(space)).params) not in genotypes

    def test_a_second_study_begins_afresh(self) -> None:
        """What was learned from one study does not leak into the next one."""
        space = load_space("mixnet")
        sampler = self.sampler(SearchProblem(space, seed=2))
        first = search(sampler, space, self.trials)
        again = search(sampler, space, self.trials)
        assert len(set(again)) == self.trials
        if self.repeats:
            assert again == first
