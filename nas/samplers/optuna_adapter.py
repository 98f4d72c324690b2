"""Optuna's own samplers on genotypes, kept within limits."""

from __future__ import annotations

import random
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal, tried
from nas.samplers.domain import Domain
from nas.space import Genotype


class ConstrainedSampler(GenotypeSampler):
    """Lets one of Optuna's samplers propose, and moves its proposals inside the limits.

    The other sampler works in a study of its own, in memory, whose parameters are the indices of
    a genotype: integers for what has an order, categories for the rest. It is told what became
    of every trial, with the network that was really tried.
    """

    def __init__(self, domain: Domain, inner: BaseSampler, seed: int = 0, ordered: bool = False):
        """Take a sampler.

        Args:
            domain: what is proposed.
            inner: Optuna's, with a seed of its own.
            seed: of what is random here.
            ordered: whether all variables are shown as integers, for samplers that know no others.
        """
        self._inner = inner
        super().__init__(domain, seed)
        self._parameters = {
            name: _indices(size, ordered or has_order)
            for name, size, has_order in domain.variables()
        }

    def _forget(self) -> None:
        super()._forget()
        self._mirror: Study | None = None
        self._asked: dict[Genotype, int] = {}
        self._told: set[int] = set()

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        mirror = self._follow(study, past)
        storage = mirror._storage
        identity = storage.create_new_trial(mirror._study_id)
        frozen = storage.get_trial(identity)
        genotype = self.new_near(self._raw(mirror, frozen), tried(past), rng)
        for (name, distribution), index in zip(self._parameters.items(), genotype, strict=True):
            storage.set_trial_param(identity, name, max(index, 0), distribution)
        self._asked[genotype] = frozen.number
        return Proposal(genotype, dict(storage.get_trial(identity).system_attrs))

    def _raw(self, mirror: Study, trial: FrozenTrial) -> Genotype:
        """Return what the other sampler proposes, wherever that is."""
        self._inner.before_trial(mirror, trial)
        space = self._inner.infer_relative_search_space(mirror, trial)
        found = self._inner.sample_relative(mirror, trial, space)
        for name, distribution in self._parameters.items():
            if name not in found:
                found[name] = self._inner.sample_independent(mirror, trial, name, distribution)
        return self.domain.canonical(tuple(int(found[name]) for name in self._parameters))

    def _follow(self, study: Study, past: Sequence[PastTrial]) -> Study:
        """Tell the other sampler's study what became of trials."""
        if self._mirror is None:
            self._mirror = optuna.create_study(directions=study.directions, sampler=self._inner)
        for p in past:
            if p.pending or p.trial.number in self._told:
                continue
            self._told.add(p.trial.number)
            asked = self._asked.pop(p.genotype, None)
            if asked is None:
                self._mirror.add_trial(self._copy(p))
            elif p.trial.state == TrialState.COMPLETE:
                self._mirror.tell(asked, p.trial.values)
            else:
                self._mirror.tell(asked, state=p.trial.state)
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
        """Reseed the other sampler; nothing here depends on the process."""
        self._inner.reseed_rng()


def _indices(size: int, ordered: bool) -> BaseDistribution:
    if ordered:
        return IntDistribution(0, size - 1)
    return CategoricalDistribution(tuple(range(size)))
