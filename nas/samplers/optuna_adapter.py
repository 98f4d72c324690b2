"""Optuna's own samplers, adapted to propose genotypes within the limits."""

from __future__ import annotations

import random
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import Domain
from nas.space import Genotype


class ConstrainedSampler(GenotypeSampler):
    """Lets one of Optuna's samplers propose, and moves its proposals inside the limits.

    The inner sampler works in a study of its own, in memory, whose parameters are the indices of
    a genotype: integers for ordered variables, categories for the others. That study receives the
    outcome of every trial, together with the network that was actually tried.
    """

    def __init__(self, domain: Domain, inner: BaseSampler, seed: int = 0, ordered: bool = False):
        """Wrap a sampler.

        Args:
            domain: Set of genotypes to propose from.
            inner: Optuna's sampler, with a seed of its own.
            seed: Random seed for moving proposals inside the limits.
            ordered: Whether all variables are presented as integers, for samplers that support
                nothing else.
        """
        self._inner = inner
        super().__init__(domain, seed)
        self._parameters = {
            name: _index_distribution(size, ordered or has_order)
            for name, size, has_order in domain.variables()
        }

    def _forget(self) -> None:
        super()._forget()
        self._mirror: Study | None = None
        # Trial numbers in the mirror, of proposals whose outcome is not reported yet.
        self._open_numbers: dict[Genotype, int] = {}
        self._reported: set[int] = set()

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        mirror = self._updated_mirror(study, past)
        storage = mirror._storage
        trial_id = storage.create_new_trial(mirror._study_id)
        frozen = storage.get_trial(trial_id)
        genotype = self.new_near(self._inner_proposal(mirror, frozen), self.tried(past), rng)
        for (name, distribution), index in zip(self._parameters.items(), genotype, strict=True):
            storage.set_trial_param(trial_id, name, max(index, 0), distribution)
        self._open_numbers[genotype] = frozen.number
        return Proposal(genotype, dict(storage.get_trial(trial_id).system_attrs))

    def _inner_proposal(self, mirror: Study, trial: FrozenTrial) -> Genotype:
        """Return the inner sampler's proposal, which may be outside the limits."""
        self._inner.before_trial(mirror, trial)
        space = self._inner.infer_relative_search_space(mirror, trial)
        indices = self._inner.sample_relative(mirror, trial, space)
        for name, distribution in self._parameters.items():
            if name not in indices:
                indices[name] = self._inner.sample_independent(mirror, trial, name, distribution)
        return self.domain.canonical(tuple(int(indices[name]) for name in self._parameters))

    def _updated_mirror(self, study: Study, past: Sequence[PastTrial]) -> Study:
        """Return the inner sampler's study, after reporting the outcomes of finished trials."""
        if self._mirror is None:
            self._mirror = optuna.create_study(directions=study.directions, sampler=self._inner)
        for p in past:
            if p.pending or p.trial.number in self._reported:
                continue
            self._reported.add(p.trial.number)
            number = self._open_numbers.pop(p.genotype, None)
            if number is None:
                self._mirror.add_trial(self._copy(p))
            elif p.trial.state == TrialState.COMPLETE:
                self._mirror.tell(number, p.trial.values)
            else:
                self._mirror.tell(number, state=p.trial.state)
        return self._mirror

    def _copy(self, past: PastTrial) -> FrozenTrial:
        complete = past.trial.state == TrialState.COMPLETE
        params = {
            name: max(index, 0) for name, index in zip(self._parameters, past.genotype, strict=True)
        }
        return create_trial(
            state=past.trial.state,
            values=past.trial.values if complete else None,
            params=params,
            distributions=self._parameters,
            system_attrs=past.trial.system_attrs,
        )

    def reseed_rng(self) -> None:
        """Reseed the inner sampler; the adapter itself draws from seeds and trial numbers alone."""
        self._inner.reseed_rng()


def _index_distribution(size: int, ordered: bool) -> BaseDistribution:
    if ordered:
        return IntDistribution(0, size - 1)
    return CategoricalDistribution(tuple(range(size)))
