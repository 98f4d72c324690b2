"""Regularized evolution: tournament selection, mutation, and removal of the oldest.

Real et al. 2019, Regularized Evolution for Image Classifier Architecture Search, algorithm 1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import moocore
import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState
from scipy.stats import rankdata

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import Domain
from nas.space import Genotype

POPULATION = 32  # the paper uses 100, but for thousands of trials; ours are tens to hundreds
TOURNAMENT = 8
MUTATION_ATTEMPTS = 200  # to stay inside the limits


class RegularizedEvolution(GenotypeSampler):
    """Mutates the best of a few networks drawn from the youngest ones.

    With several objectives, the winner of a tournament is drawn from its nondominated networks.
    """

    def __init__(
        self,
        domain: Domain,
        seed: int = 0,
        population: int = POPULATION,
        tournament: int = TOURNAMENT,
    ) -> None:
        """Create a sampler.

        Args:
            domain: Set of genotypes to propose from.
            seed: Random seed.
            population: Number of youngest finished networks that parents are taken from.
            tournament: Number of networks drawn from the population; the best becomes a parent.
        """
        super().__init__(domain, seed)
        self._population = population
        self._tournament = tournament

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        done = [p for p in past if p.trial.state == TrialState.COMPLETE]
        if len(past) < self._population or not done:
            return Proposal(self.domain.draw(rng))
        alive = done[-self._population :]
        entrants = rng.sample(alive, min(self._tournament, len(alive)))
        signs = [1 if d == StudyDirection.MINIMIZE else -1 for d in study.directions]
        losses = np.array([p.trial.values for p in entrants]) * signs
        # Ranks dominate each other as the values do, and moocore cannot deal with infinite ones.
        ranks = rankdata(losses, method="dense", axis=0)
        nondominated = moocore.is_nondominated(ranks, keep_weakly=True)
        winners = [p for p, wins in zip(entrants, nondominated, strict=True) if wins]
        return Proposal(self._child(rng.choice(winners).genotype, rng))

    def _child(self, parent: Genotype, rng: random.Random) -> Genotype:
        for _ in range(MUTATION_ATTEMPTS):
            child = self.domain.mutate(parent, rng)
            if self.domain.admits(child):
                return child
        return self.domain.repair(child, rng)
