"""What a sampler must know of the things it proposes, for a `Space` or for plain Optuna parameters.

A proposal is a genotype: one index for every variable, `INACTIVE` where a variable has no effect.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nas.errors import LimitError, MixnasError
from nas.limits import COST_METRICS, Limit
from nas.space import Genotype, Space, sample
from nas.space.encoding import encode_all
from nas.space.sampling import approach_from, cost_limits, limit_violation

CostFunction = Callable[[Any], float]
"""A cost or a hint that follows from a proposal alone; it is given what `Domain.view` returns."""
Feasible = Callable[[Any], bool]
DRAWS = 10_000  # for a feasible assignment, before giving up
LARGEST = 1_000  # values of one parameter


class Domain(ABC):
    """A finite set of proposals.

    Attributes:
        name: for messages.
        distributions: Optuna's, by variable.
    """

    name: str
    distributions: dict[str, BaseDistribution]

    @abstractmethod
    def variables(self) -> list[tuple[str, int, bool]]:
        """Return for every variable its name, how many values it has, and whether in order."""

    @abstractmethod
    def canonical(self, genotype: Genotype) -> Genotype:
        """Mark variables without effect inactive."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Genotype:
        """Draw a proposal inside the limits.

        Raises:
            LimitError: when none was found.
        """

    @abstractmethod
    def admits(self, genotype: Genotype) -> bool:
        """Whether a genotype is inside the limits."""

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Change one variable; limits are not looked at."""

    @abstractmethod
    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """Take every variable from either parent; limits are not looked at."""

    @abstractmethod
    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Return the genotype if it is admitted, or one near it that is.

        Raises:
            LimitError: when none was found.
        """

    @abstractmethod
    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return the features that a model sees, shape (genotypes, features)."""

    @abstractmethod
    def covariates(self) -> list[CostFunction]:
        """Return what is cheap to know of any proposal and may tell of its accuracy."""

    @abstractmethod
    def known(self, what: str | CostFunction) -> CostFunction:
        """Return a cost function by name, or the one given.

        Raises:
            MixnasError: when there is no such name.
        """

    @abstractmethod
    def view(self, genotype: Genotype) -> Any:
        """Return what a user's cost function is given."""

    @abstractmethod
    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """Return Optuna parameters of a genotype, one for every variable."""

    @abstractmethod
    def from_parameters(self, parameters: Mapping[str, Any]) -> Genotype:
        """Read a genotype from Optuna parameters."""

    def walk(self, genotype: Genotype, rng: random.Random, steps: int) -> Genotype:
        """Walk at random inside the limits; the start must be inside."""
        for _ in range(steps):
            changed = self.mutate(genotype, rng)
            if self.admits(changed):
                genotype = changed
        return genotype


class SpaceDomain(Domain):
    """The networks of a space within limits on their costs."""

    def __init__(self, space: Space, limits: Iterable[Limit] = ()) -> None:
        """Take a space, and limits beside its own; those on latency are not looked at."""
        self.space = space
        self.name = space.name
        self.distributions = distributions(space)
        self._given = list(limits)
        self._limits = cost_limits(space, self._given)

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return [(v.name, len(v.values), v.kind == "ordinal") for v in self.space.variables]

    def canonical(self, genotype: Genotype) -> Genotype:
        """See `Domain`."""
        return self.space.canonical(genotype)

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return sample(self.space, rng, self._given).genotype

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
        return [self.known(metric) for metric in COST_METRICS]

    def known(self, what: str | CostFunction) -> CostFunction:
        """See `Domain`."""
        if not isinstance(what, str):
            return what
        if what not in COST_METRICS:
            raise MixnasError(
                f"'{what}' is no cost that follows from a network; name one of "
                f"{', '.join(COST_METRICS)}, or give a function of the genotype"
            )
        return lambda genotype: getattr(self.space.cost(genotype), what)

    def view(self, genotype: Genotype) -> Genotype:
        """Return the genotype."""
        return genotype

    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """Return parameters; inactive variables take their first label."""
        labels = self.space.to_params(genotype)
        return {
            v.name: v.labels[0] if labels[v.name] is None else labels[v.name]
            for v in self.space.variables
        }

    def from_parameters(self, parameters: Mapping[str, Any]) -> Genotype:
        """See `Domain`."""
        return self.space.from_params(parameters)


class ParameterDomain(Domain):
    """Assignments of Optuna parameters, each with finitely many values."""

    def __init__(
        self, parameters: Mapping[str, BaseDistribution], feasible: Feasible | None = None
    ) -> None:
        """Take distributions.

        Args:
            parameters: by name; categorical, integer, or float with a step.
            feasible: whether an assignment (a dict) is allowed; None for all.

        Raises:
            MixnasError: when a parameter has no or too many values.
        """
        self.name = "the parameters"
        self.distributions = dict(parameters)
        self._values = {name: _values(name, d) for name, d in self.distributions.items()}
        self._tables = [
            _features(self.distributions[name], values) for name, values in self._values.items()
        ]
        self._sizes = [len(values) for values in self._values.values()]
        self._places = {
            name: {_key(value): i for i, value in enumerate(values)}
            for name, values in self._values.items()
        }
        self._feasible = feasible

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return [
            (name, size, _has_order(distribution))
            for (name, distribution), size in zip(
                self.distributions.items(), self._sizes, strict=True
            )
        ]

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the genotype: every parameter has an effect."""
        return genotype

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        for _ in range(DRAWS):
            genotype = tuple(rng.randrange(size) for size in self._sizes)
            if self.admits(genotype):
                return genotype
        raise LimitError(f"none of {DRAWS:,} draws is feasible; loosen what 'feasible' asks for")

    def admits(self, genotype: Genotype) -> bool:
        """See `Domain`."""
        return self._feasible is None or bool(self._feasible(self.view(genotype)))

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        free = [i for i, size in enumerate(self._sizes) if size > 1]
        if not free:
            return genotype
        i = rng.choice(free)
        other = rng.randrange(self._sizes[i] - 1)
        other += other >= genotype[i]
        return (*genotype[:i], other, *genotype[i + 1 :])

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return tuple(a if rng.random() < 0.5 else b for a, b in zip(one, two, strict=True))

    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        tried = genotype
        for _ in range(len(self._sizes) * 10):
            if self.admits(tried):
                return tried
            tried = self.mutate(tried, rng)
        return self.draw(rng)

    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """See `Domain`."""
        indices = np.asarray(genotypes, dtype=int).reshape(-1, len(self._sizes))
        return np.concatenate(
            [table[column] for table, column in zip(self._tables, indices.T, strict=True)], axis=1
        )

    def covariates(self) -> list[CostFunction]:
        """See `Domain`."""
        return []

    def known(self, what: str | CostFunction) -> CostFunction:
        """See `Domain`."""
        if isinstance(what, str):
            raise MixnasError(
                f"plain parameters have no cost named '{what}'; give a function of the parameters"
            )
        return what

    def view(self, genotype: Genotype) -> dict[str, Any]:
        """Return the parameters by name."""
        return {
            name: values[index]
            for (name, values), index in zip(self._values.items(), genotype, strict=True)
        }

    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """See `Domain`."""
        return self.view(genotype)

    def from_parameters(self, parameters: Mapping[str, Any]) -> Genotype:
        """See `Domain`."""
        return tuple(places[_key(parameters[name])] for name, places in self._places.items())


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return one Optuna distribution for every variable of a space."""
    return {v.name: CategoricalDistribution(v.labels) for v in space.variables}


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values: list[Any] = list(
            range(distribution.low, distribution.high + 1, distribution.step or 1)
        )
    elif isinstance(distribution, FloatDistribution) and distribution.step is not None:
        steps = math.floor((distribution.high - distribution.low) / distribution.step + 1e-9)
        rising = [distribution.low + i * distribution.step for i in range(steps + 1)]
        values = [min(value, distribution.high) for value in rising]  # high, but for rounding
    else:
        raise MixnasError(
            f"parameter '{name}' has no finite set of values; give it a step, or choices"
        )
    if len(values) > LARGEST:
        raise MixnasError(
            f"parameter '{name}' has {len(values):,} values, {LARGEST:,} at most are searched; "
            "give it a larger step"
        )
    return values


def _numeric(distribution: BaseDistribution) -> bool:
    """Whether all values are numbers; a choice of widths is often written as categories."""
    if not isinstance(distribution, CategoricalDistribution):
        return True
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in distribution.choices)


def _has_order(distribution: BaseDistribution) -> bool:
    if not isinstance(distribution, CategoricalDistribution):
        return True
    choices: list[Any] = list(distribution.choices)
    return _numeric(distribution) and choices == sorted(choices)


def _key(value: Any) -> Any:
    """Return what a value is found by: three steps of 0.1 are not the float that 0.3 is."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _features(distribution: BaseDistribution, values: list[Any]) -> np.ndarray:
    """Return the features of every value: numbers keep their order, names are one-hot."""
    if not _numeric(distribution):
        return np.eye(len(values))
    numbers = np.array(values, dtype=float)
    if getattr(distribution, "log", False):
        numbers = np.log(numbers)
    scaled = (numbers - numbers.min()) / (np.ptp(numbers) or 1.0)
    return np.asarray(scaled[:, None])
