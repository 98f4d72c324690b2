"""Regularized evolution: tournaments, mutations, and death by age.

Real et al. 2019, Regularized Evolution for Image Classifier Architecture Search, algorithm 1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import Domain
from nas.space import Genotype

POPULATION = 32  # the paper takes 100 of thousands; searches here have tens to hundreds
TOURNAMENT = 8
TRIES = 200  # at a mutation that the limits admit


class RegularizedEvolution(GenotypeSampler):
    """Mutates the best of a random few of the youngest networks.

    With several objectives the winner of a tournament is one that no other in it dominates.
    """

    def __init__(
        self,
        domain: Domain,
        seed: int = 0,
        population: int = POPULATION,
        tournament: int = TOURNAMENT,
    ) -> None:
        """Set the sizes.

        Args:
            domain: what is proposed.
            seed: of everything random.
            population: the youngest finished networks, which alone have children.
            tournament: drawn from them; the best becomes a parent.
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
        gains = [_gains(p, study.directions) for p in entrants]
        winners = [
            p
            for p, mine in zip(entrants, gains, strict=True)
            if not any(_dominates(other, mine) for other in gains)
        ]
        return Proposal(self._child(rng.choice(winners).genotype, rng))

    def _child(self, parent: Genotype, rng: random.Random) -> Genotype:
        for _ in range(TRIES):
            child = self.domain.mutate(parent, rng)
            if self.domain.admits(child):
                return child
        return self.domain.repair(child, rng)


def _gains(past: PastTrial, directions: Sequence[StudyDirection]) -> list[float]:
    """Return a trial's values, each the better the larger."""
    return [
        value if direction == StudyDirection.MAXIMIZE else -value
        for value, direction in zip(past.trial.values, directions, strict=True)
    ]


def _dominates(one: Sequence[float], two: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, two, strict=True)) and one != two
