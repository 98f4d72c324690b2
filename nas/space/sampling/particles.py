"""Networks within limits that hardly any draw meets, by a population that is led towards them.

Sequential Monte Carlo (Del Moral, Doucet and Jasra 2006) on a chain of ever tighter sets: networks
that are at most so far outside the limits. From one set to the next, the networks that are still
inside replace the others; then every network moves inside the set, by changes that leave the
space's own distribution there as it is (block Gibbs: one stage is redrawn). The more networks and
moves, the more even is the result.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from nas.limits import Limit
from nas.space.sampling.groups import group_draws
from nas.space.sampling.violation import BROKEN, limit_violation, violations
from nas.space.space import Space
from nas.space.variables import Genotype

MEMBERS = 256  # networks in the population
FEW_MEMBERS = 64  # where each is counted by itself
KEPT = 0.3  # share of the population that each set is as tight as to keep
MOVES = 8  # attempts to move every network in each set
LAST_MOVES = 40  # attempts within the limits
LEVELS = 60  # sets before the limits are given up


class Particles:
    """Networks that approach restrictions and limits."""

    def __init__(self, space: Space, rng: random.Random, limits: Sequence[Limit]) -> None:
        """Draw the population.

        Args:
            space: Space of the networks.
            rng: Source of all randomness.
            limits: Limits on costs.
        """
        self._space, self._limits = space, limits
        self._tables = space.cost_tables
        self._generator = np.random.default_rng(rng.getrandbits(64))
        members = FEW_MEMBERS if self._tables is None else MEMBERS
        self._draws = group_draws(space)
        self._full = self._draws.full(self._generator, members)
        self._distances = self._measure(self._full)
        blocks = self._draws.blocks() or [[]]
        self._masks = np.zeros((len(blocks), len(space.variables)), dtype=bool)
        for mask, block in zip(self._masks, blocks, strict=True):
            mask[block] = True

    @property
    def size(self) -> int:
        """Number of networks in the population."""
        return len(self._full)

    def lead(self, number: int = 1) -> list[Genotype]:
        """Return networks within the limits; none if these were not reached.

        Args:
            number: Number of networks. Up to the size of the population, they are different
                members, though two of these may be the same network.
        """
        generator = self._generator
        for _ in range(LEVELS):
            bound = float(np.quantile(self._distances, KEPT))
            kept = np.flatnonzero(self._distances <= bound)
            chosen = generator.choice(kept, len(self._full))
            self._full, self._distances = self._full[chosen], self._distances[chosen]
            for _ in range(MOVES if bound > 0 else LAST_MOVES):
                self._move(bound)
            if bound == 0:
                members = generator.permutation(len(self._full))
                chosen = self._full[np.resize(members, number)]
                return [self._space.canonical(row) for row in chosen.tolist()]
        return []

    def _move(self, bound: float) -> None:
        """Redraw one random stage (or other section) of every network that stays in the set."""
        fresh = self._draws.full(self._generator, len(self._full))
        blocks = self._generator.integers(len(self._masks), size=len(self._full))
        changed = np.where(self._masks.T[:, blocks].T, fresh, self._full)
        distances = self._measure(changed)
        inside = distances <= bound
        self._full[inside], self._distances[inside] = changed[inside], distances[inside]

    def _measure(self, full: np.ndarray) -> np.ndarray:
        """Return how far full genotypes are outside restrictions and limits."""
        if self._tables is None:
            genotypes = [self._space.canonical(row) for row in full.tolist()]
            return np.array([limit_violation(self._space, g, self._limits)[0] for g in genotypes])
        result = violations(self._tables, full, self._limits)
        if self._space.restrictions:
            genotypes = [self._space.canonical(row) for row in full.tolist()]
            result += BROKEN * np.array([len(self._space.broken(g)) for g in genotypes])
        return result
