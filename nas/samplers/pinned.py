"""A domain with the values of some variables fixed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nas.errors import LimitError
from nas.samplers.domain import CostFunction, Domain
from nas.space import INACTIVE, Genotype

MAX_DRAWS = 1_000  # draws, and steps of a walk from each, before the limits are given up


class PinnedDomain(Domain):
    """The genotypes of another domain in which some variables have given values."""

    def __init__(self, whole: Domain, pins: Mapping[int, int]) -> None:
        """Fix the values of variables.

        Args:
            whole: The other domain.
            pins: Index of the value of every fixed variable, by its position.
        """
        self._whole = whole
        self._pins = dict(pins)
        self.name = whole.name
        self.distributions = whole.distributions
        self.conditions_known = whole.conditions_known

    def pinned(self, genotype: Genotype) -> Genotype:
        """Return the genotype with the fixed values."""
        values = [self._pins.get(i, index) for i, index in enumerate(genotype)]
        return self._whole.canonical(tuple(values))

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return self._whole.variables()

    def order(self) -> Sequence[int]:
        """See `Domain`."""
        return self._whole.order()

    def canonical(self, genotype: Genotype) -> Genotype:
        """See `Domain`."""
        return self._whole.canonical(genotype)

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        for _ in range(MAX_DRAWS):
            genotype = self.pinned(self._whole.draw(rng))
            if self.admits(genotype):
                return genotype
        names = [name for i, (name, _, _) in enumerate(self.variables()) if i in self._pins]
        raise LimitError(
            f"none of {MAX_DRAWS:,} draws from {self.name} is within the limits with the fixed "
            f"values of {', '.join(names)}; fix other values, or relax the limits"
        )

    def members(self) -> list[Genotype] | None:
        """See `Domain`."""
        members = self._whole.members()
        return None if members is None else [g for g in members if self.admits(g)]

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Domain`."""
        return (g for g in self._whole.neighbours(genotype) if self._keeps(g))

    def admits(self, genotype: Genotype) -> bool:
        """See `Domain`."""
        return self._keeps(genotype) and self._whole.admits(genotype)

    def _keeps(self, genotype: Genotype) -> bool:
        return all(genotype[i] in (index, INACTIVE) for i, index in self._pins.items())

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return self.pinned(self._whole.mutate(genotype, rng))

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return self.pinned(self._whole.crossover(one, two, rng))

    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        candidate = self.pinned(genotype)
        for _ in range(10 * len(genotype)):
            if self.admits(candidate):
                return candidate
            candidate = self.mutate(candidate, rng)
        return self.draw(rng)

    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """See `Domain`."""
        return self._whole.encode(genotypes)

    def covariates(self) -> list[CostFunction]:
        """See `Domain`."""
        return self._whole.covariates()

    def cost_function(self, cost: str | CostFunction) -> CostFunction:
        """See `Domain`."""
        return self._whole.cost_function(cost)

    def view(self, genotype: Genotype) -> Any:
        """See `Domain`."""
        return self._whole.view(genotype)

    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """See `Domain`."""
        return self._whole.to_parameters(genotype)

    def index_of(self, name: str, value: Any) -> int | None:
        """See `Domain`."""
        return self._whole.index_of(name, value)

    def learn_conditions(self, genotypes: Sequence[Genotype]) -> None:
        """See `Domain`."""
        self._whole.learn_conditions(genotypes)

    def from_parameters(self, parameters: Mapping[str, Any], partial: bool = False) -> Genotype:
        """See `Domain`."""
        return self._whole.from_parameters(parameters, partial)
