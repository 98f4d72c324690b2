"""The finite sets that samplers propose from: the interface, and its implementation for a `Space`.

A proposal is a genotype: one index for every variable, `INACTIVE` where a variable has no effect.
`nas.samplers.parameter_domain` implements the interface for plain Optuna parameters.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from nas.errors import MixnasError
from nas.limits import COST_METRICS, Limit
from nas.space import Genotype, Space, sample, sample_many
from nas.space.encoding import encode_all
from nas.space.sampling import (
    ENUMERATED,
    admitted_networks,
    approach_from,
    cost_limits,
    limit_violation,
)

CostFunction = Callable[[Any], float]
"""A cost or a covariate, known without training: a function of what `Domain.view` returns."""


class Domain(ABC):
    """A finite set of genotypes to propose from.

    Attributes:
        name: Name for messages.
        distributions: Optuna distributions by variable.
        conditions_known: Whether it is known from the start which variables have an effect; else it
            is learned from the trials (see `learn_conditions`).
    """

    conditions_known: bool = True
    name: str
    distributions: dict[str, BaseDistribution]

    @abstractmethod
    def variables(self) -> list[tuple[str, int, bool]]:
        """Return name, number of values, and whether the values are ordered, of every variable."""

    def order(self) -> Sequence[int]:
        """Return the positions of the variables, those first that decide on others' effect."""
        return range(len(self.variables()))

    @abstractmethod
    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the genotype with variables that have no effect marked `INACTIVE`."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Genotype:
        """Draw a genotype inside the limits.

        Raises:
            LimitError: If none was found.
        """

    def draw_many(self, rng: random.Random, number: int) -> list[Genotype]:
        """Draw several genotypes inside the limits, independently.

        Raises:
            LimitError: If none was found.
        """
        return [self.draw(rng) for _ in range(number)]

    @abstractmethod
    def members(self) -> list[Genotype] | None:
        """Return all genotypes inside the limits, in order; None if there are too many."""

    @abstractmethod
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield the genotypes that differ in one variable; limits are ignored."""

    @abstractmethod
    def admits(self, genotype: Genotype) -> bool:
        """Return whether a genotype is inside the limits."""

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Return the genotype with one variable changed; limits are ignored."""

    @abstractmethod
    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """Return a child that takes every variable from either parent; limits are ignored."""

    @abstractmethod
    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Return the genotype if it is inside the limits, otherwise one near it that is.

        Raises:
            LimitError: If none was found.
        """

    @abstractmethod
    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return the features for a regression model, shape (genotypes, features)."""

    @abstractmethod
    def covariates(self) -> list[CostFunction]:
        """Return cheap functions of a proposal that may correlate with its accuracy."""

    @abstractmethod
    def cost_function(self, cost: str | CostFunction) -> CostFunction:
        """Return the cost function of a name; a function is returned unchanged.

        Raises:
            MixnasError: If no cost has that name.
        """

    @abstractmethod
    def view(self, genotype: Genotype) -> Any:
        """Return a genotype in the form that cost functions take as their argument."""

    @abstractmethod
    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """Return the Optuna parameters of a genotype, one for every variable."""

    @abstractmethod
    def index_of(self, name: str, value: Any) -> int | None:
        """Return the index of a variable's value; None if it is not among its values."""

    def position(self, name: str) -> int:
        """Return the position of a variable in a genotype."""
        return list(self.distributions).index(name)

    def learn_conditions(self, genotypes: Sequence[Genotype]) -> None:  # noqa: B027
        """Learn from finished trials which variables have no effect, if that is not known."""

    @abstractmethod
    def from_parameters(self, parameters: Mapping[str, Any], partial: bool = False) -> Genotype:
        """Return the genotype of Optuna parameters.

        Args:
            parameters: The parameters by name; further ones are ignored.
            partial: Whether parameters that are missing have no effect, since the trial is complete
                and did not suggest them. In a space, this is known without it.

        Raises:
            MixnasError: If a parameter that matters is missing or has a value that is not allowed.
            LookupError: Likewise.
        """

    def walk(self, genotype: Genotype, rng: random.Random, steps: int) -> Genotype:
        """Return the end of a random walk inside the limits, which must hold at the start."""
        for _ in range(steps):
            neighbor = self.mutate(genotype, rng)
            if self.admits(neighbor):
                genotype = neighbor
        return genotype


class SpaceDomain(Domain):
    """The networks of a space within limits on their costs."""

    def __init__(self, space: Space, limits: Iterable[Limit] = ()) -> None:
        """Restrict a space.

        Args:
            space: Search space.
            limits: Limits on costs, in addition to the space's own; limits on latency are ignored.
        """
        self.space = space
        self.name = space.name
        self.distributions = distributions(space)
        self._extra_limits = list(limits)
        self._limits = cost_limits(space, self._extra_limits)
        self._members: list[Genotype] | None = None

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return [(v.name, len(v.values), v.kind == "ordinal") for v in self.space.variables]

    def order(self) -> Sequence[int]:
        """See `Domain`."""
        variables = self.space.variables
        return sorted(range(len(variables)), key=lambda i: (bool(variables[i].sites), i))

    def canonical(self, genotype: Genotype) -> Genotype:
        """See `Domain`."""
        return self.space.canonical(genotype)

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return sample(self.space, rng, self._extra_limits).genotype

    def draw_many(self, rng: random.Random, number: int) -> list[Genotype]:
        """See `Domain`."""
        return [s.genotype for s in sample_many(self.space, rng, number, self._extra_limits)]

    def members(self) -> list[Genotype] | None:
        """See `Domain`."""
        if self._members is None and self.space.assignments <= ENUMERATED:
            self._members, _ = admitted_networks(self.space, self._limits)
        return self._members

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Domain`."""
        return self.space.neighbours(genotype)

    def admits(self, genotype: Genotype) -> bool:
        """See `Domain`."""
        return limit_violation(self.space, genotype, self._limits)[0] == 0

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return self.space.mutate(genotype, rng)

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return self.space.crossover(one, two, rng)

    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        moved = approach_from(self.space, genotype, rng, self._limits)
        return moved if self.admits(moved) else self.draw(rng)

    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """See `Domain`."""
        return encode_all(self.space, genotypes)

    def covariates(self) -> list[CostFunction]:
        """See `Domain`."""
        return [self.cost_function(metric) for metric in COST_METRICS]

    def cost_function(self, cost: str | CostFunction) -> CostFunction:
        """See `Domain`."""
        if not isinstance(cost, str):
            return cost
        if cost not in COST_METRICS:
            raise MixnasError(
                f"'{cost}' is not an exact cost of a network; name one of "
                f"{', '.join(COST_METRICS)}, or pass a function of the genotype"
            )
        return lambda genotype: getattr(self.space.cost(genotype), cost)

    def view(self, genotype: Genotype) -> Genotype:
        """Return the genotype itself."""
        return genotype

    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """Return the parameters of a genotype; inactive variables take their first label."""
        labels = self.space.to_params(genotype)
        return {
            v.name: v.labels[0] if labels[v.name] is None else labels[v.name]
            for v in self.space.variables
        }

    def index_of(self, name: str, value: Any) -> int | None:
        """See `Domain`."""
        labels = self.space.variables[self.space.index(name)].labels
        return labels.index(value) if value in labels else None

    def from_parameters(self, parameters: Mapping[str, Any], partial: bool = False) -> Genotype:
        """See `Domain`."""
        return self.space.from_params(parameters)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return one Optuna distribution for every variable of a space."""
    return {v.name: CategoricalDistribution(v.labels) for v in space.variables}
