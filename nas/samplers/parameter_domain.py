"""Sets of assignments of plain Optuna parameters, each with finitely many values."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nas.errors import LimitError, MixnasError
from nas.samplers.domain import CostFunction, Domain
from nas.space import INACTIVE, Genotype
from nas.space.sampling import ENUMERATED

Feasible = Callable[[Any], bool]
"""Whether an assignment of parameters (a dict) is allowed."""
MAX_DRAWS = 10_000  # draws before a search for a feasible assignment is given up
FEW_DRAWS = 200  # draws before a small set of assignments is enumerated
WALK = 30  # mutations between two feasible assignments, where draws rarely are feasible
MAX_VALUES = 1_000  # values of one parameter


class ParameterDomain(Domain):
    """Assignments of Optuna parameters, each with finitely many values.

    A genotype holds the index of every parameter's value. In a define-by-run script, some
    parameters are suggested only if others have certain values. Those that a finished trial did not
    suggest are inactive in its genotype, and which parameter decides on that is learned from the
    trials (see `learn_conditions`).
    """

    def __init__(
        self, parameters: Mapping[str, BaseDistribution], feasible: Feasible | None = None
    ) -> None:
        """Enumerate the values of all parameters.

        Args:
            parameters: Distributions by name; categorical, integer, or float with a step.
            feasible: Whether an assignment (a dict) is allowed; None to allow all.

        Raises:
            MixnasError: If a parameter has no finite set of values, or more than `MAX_VALUES`.
        """
        self.name = "the parameters"
        self.conditions_known = False
        self.distributions = dict(parameters)
        self._values = {name: _values(name, d) for name, d in self.distributions.items()}
        self._feature_tables = [
            _features(self.distributions[name], values) for name, values in self._values.items()
        ]
        self._sizes = [len(values) for values in self._values.values()]
        self._indices = {
            name: {_lookup_key(value): i for i, value in enumerate(values)}
            for name, values in self._values.items()
        }
        self._feasible = feasible
        self._deciders: dict[int, tuple[int, frozenset[int]]] = {}
        self._members: list[Genotype] | None = None

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return [
            (name, size, _has_order(distribution))
            for (name, distribution), size in zip(
                self.distributions.items(), self._sizes, strict=True
            )
        ]

    def canonical(self, genotype: Genotype, fill: random.Random | None = None) -> Genotype:
        """Return the genotype with parameters that are not suggested marked `INACTIVE`.

        Args:
            genotype: The genotype.
            fill: Source of values for parameters that are suggested but have none; without it they
                take their first value.
        """
        if not self._deciders:
            return genotype
        result = list(genotype)
        for i, size in enumerate(self._sizes):
            if result[i] == INACTIVE:
                result[i] = fill.randrange(size) if fill else 0
        for _ in self._deciders:  # a parameter that decides may itself be inactive
            for i, (decider, without) in self._deciders.items():
                if result[decider] in without:
                    result[i] = INACTIVE
        return tuple(result)

    def learn_conditions(self, genotypes: Sequence[Genotype]) -> None:
        """Find the parameter whose value decides whether another one is suggested.

        Of the parameters of which no value occurs both with and without it, that is the one with
        the fewest values so far: the others may be so by chance.

        Args:
            genotypes: Genotypes of finished trials, `INACTIVE` where a parameter was not suggested.
        """
        deciders: dict[int, tuple[int, frozenset[int]]] = {}
        positions = range(len(self._sizes))
        for i in positions:
            without = [g for g in genotypes if g[i] == INACTIVE]
            present = [g for g in genotypes if g[i] != INACTIVE]
            fewest = math.inf
            for j in positions if without else ():
                absent, others = {g[j] for g in without}, {g[j] for g in present}
                if j != i and absent.isdisjoint(others) and len(absent | others) < fewest:
                    fewest = len(absent | others)
                    deciders[i] = (j, frozenset(absent))
        if deciders != self._deciders:
            self._deciders, self._members = deciders, None

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        large = math.prod(self._sizes) > ENUMERATED
        for _ in range(MAX_DRAWS if large else FEW_DRAWS):
            genotype = self.canonical(tuple(rng.randrange(size) for size in self._sizes))
            if self.admits(genotype):
                return genotype
        if members := self.members():
            return rng.choice(members)
        found = f"none of {MAX_DRAWS:,} draws" if large else "no assignment of the parameters"
        raise LimitError(f"{found} is feasible; relax the condition 'feasible'")

    def draw_many(self, rng: random.Random, number: int) -> list[Genotype]:
        """Draw feasible assignments, or walk from one to the next where draws rarely are.

        Raises:
            LimitError: If none was found.
        """
        found: list[Genotype] = []
        for _ in range(10 * number):
            genotype = self.canonical(tuple(rng.randrange(size) for size in self._sizes))
            if self.admits(genotype):
                found.append(genotype)
                if len(found) == number:
                    return found
        found = found or [self.draw(rng)]
        while len(found) < number:
            found.append(self.walk(rng.choice(found), rng, WALK))
        return found

    def members(self) -> list[Genotype] | None:
        """See `Domain`."""
        if self._members is None and math.prod(self._sizes) <= ENUMERATED:
            every = itertools.product(*(range(size) for size in self._sizes))
            distinct = sorted({self.canonical(genotype) for genotype in every})
            self._members = [genotype for genotype in distinct if self.admits(genotype)]
        return self._members

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Domain`."""
        for i, own in enumerate(genotype):
            if own != INACTIVE:
                for index in range(self._sizes[i]):
                    if index != own:
                        yield self.canonical((*genotype[:i], index, *genotype[i + 1 :]))

    def admits(self, genotype: Genotype) -> bool:
        """See `Domain`."""
        return self._feasible is None or bool(self._feasible(self.view(genotype)))

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        mutable = [i for i, size in enumerate(self._sizes) if size > 1 and genotype[i] != INACTIVE]
        if not mutable:
            return genotype
        i = rng.choice(mutable)
        index = rng.randrange(self._sizes[i] - 1)
        index += index >= genotype[i]  # skip the present value
        return self.canonical((*genotype[:i], index, *genotype[i + 1 :]), rng)

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        child = []
        for a, b in zip(one, two, strict=True):
            first, second = (a, b) if rng.random() < 0.5 else (b, a)
            child.append(second if first == INACTIVE else first)
        return self.canonical(tuple(child), rng)

    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        candidate = genotype
        for _ in range(len(self._sizes) * 10):
            if self.admits(candidate):
                return candidate
            candidate = self.mutate(candidate, rng)
        return self.draw(rng)

    def encode(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """See `Domain`."""
        indices = np.asarray(genotypes, dtype=int).reshape(-1, len(self._sizes))
        return np.concatenate(
            [
                np.where((column == INACTIVE)[:, None], 0.0, table[column])
                for table, column in zip(self._feature_tables, indices.T, strict=True)
            ],
            axis=1,
        )

    def covariates(self) -> list[CostFunction]:
        """See `Domain`."""
        return []

    def cost_function(self, cost: str | CostFunction) -> CostFunction:
        """See `Domain`."""
        if isinstance(cost, str):
            raise MixnasError(
                f"plain parameters have no cost named '{cost}'; pass a function of the parameters"
            )
        return cost

    def view(self, genotype: Genotype) -> dict[str, Any]:
        """Return the parameters by name; inactive ones have their first value."""
        return {
            name: values[max(index, 0)]
            for (name, values), index in zip(self._values.items(), genotype, strict=True)
        }

    def to_parameters(self, genotype: Genotype) -> dict[str, Any]:
        """See `Domain`."""
        return self.view(genotype)

    def index_of(self, name: str, value: Any) -> int | None:
        """See `Domain`."""
        try:
            return self._indices[name].get(_lookup_key(value))
        except TypeError:  # a list, for example, is no parameter's value
            return None

    def from_parameters(self, parameters: Mapping[str, Any], partial: bool = False) -> Genotype:
        """See `Domain`."""
        known = [name for name in self._indices if name in parameters]
        if not known or (not partial and len(known) < len(self._indices)):
            missing = next(name for name in self._indices if name not in parameters)
            raise LookupError(f"parameter '{missing}' has no value")
        return tuple(
            indices[_lookup_key(parameters[name])] if name in parameters else INACTIVE
            for name, indices in self._indices.items()
        )


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        _refuse_many(name, len(distribution.choices))
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        whole = range(distribution.low, distribution.high + 1, distribution.step or 1)
        _refuse_many(name, (distribution.high - distribution.low) // (distribution.step or 1) + 1)
        return list(whole)
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = math.floor((distribution.high - distribution.low) / distribution.step + 1e-9) + 1
        _refuse_many(name, count)
        grid = [distribution.low + i * distribution.step for i in range(count)]
        return [min(value, distribution.high) for value in grid]  # rounding may exceed `high`
    raise MixnasError(
        f"parameter '{name}' has no finite set of values; give it a step, or use a categorical "
        "distribution"
    )


def _refuse_many(name: str, count: int) -> None:
    if count > MAX_VALUES:
        raise MixnasError(
            f"parameter '{name}' has {count:,} values, but at most {MAX_VALUES:,} are supported; "
            "give it a larger step"
        )


def _is_numeric(distribution: BaseDistribution) -> bool:
    """Return whether all values are numbers: widths, for one, are often given as categories."""
    if not isinstance(distribution, CategoricalDistribution):
        return True
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in distribution.choices)


def _has_order(distribution: BaseDistribution) -> bool:
    if not isinstance(distribution, CategoricalDistribution):
        return True
    choices: list[Any] = list(distribution.choices)
    return _is_numeric(distribution) and choices == sorted(choices)


def _lookup_key(value: Any) -> Any:
    """Return a value's dictionary key, rounded because 3 * 0.1 and 0.3 are different floats."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _features(distribution: BaseDistribution, values: list[Any]) -> np.ndarray:
    """Return a row of features for every value: numbers scaled to 0..1, other values one-hot."""
    if not _is_numeric(distribution):
        return np.eye(len(values))
    numbers = np.array(values, dtype=float)
    if getattr(distribution, "log", False):
        numbers = np.log(numbers)
    scaled = (numbers - numbers.min()) / (np.ptp(numbers) or 1.0)
    return np.asarray(scaled[:, None])
