"""Sets of assignments of plain Optuna parameters, each with finitely many values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
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
from nas.space import Genotype

Feasible = Callable[[Any], bool]
"""Whether an assignment of parameters (a dict) is allowed."""
MAX_DRAWS = 10_000  # draws before a search for a feasible assignment is given up
MAX_VALUES = 1_000  # values of one parameter


class ParameterDomain(Domain):
    """Assignments of Optuna parameters, each with finitely many values.

    A genotype holds the index of every parameter's value; no parameter is ever inactive.
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

    def variables(self) -> list[tuple[str, int, bool]]:
        """See `Domain`."""
        return [
            (name, size, _has_order(distribution))
            for (name, distribution), size in zip(
                self.distributions.items(), self._sizes, strict=True
            )
        ]

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the genotype unchanged: every parameter always has an effect."""
        return genotype

    def draw(self, rng: random.Random) -> Genotype:
        """See `Domain`."""
        for _ in range(MAX_DRAWS):
            genotype = tuple(rng.randrange(size) for size in self._sizes)
            if self.admits(genotype):
                return genotype
        raise LimitError(f"none of {MAX_DRAWS:,} draws is feasible; relax the condition 'feasible'")

    def admits(self, genotype: Genotype) -> bool:
        """See `Domain`."""
        return self._feasible is None or bool(self._feasible(self.view(genotype)))

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        mutable = [i for i, size in enumerate(self._sizes) if size > 1]
        if not mutable:
            return genotype
        i = rng.choice(mutable)
        index = rng.randrange(self._sizes[i] - 1)
        index += index >= genotype[i]  # skip the present value
        return (*genotype[:i], index, *genotype[i + 1 :])

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """See `Domain`."""
        return tuple(a if rng.random() < 0.5 else b for a, b in zip(one, two, strict=True))

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
            [table[column] for table, column in zip(self._feature_tables, indices.T, strict=True)],
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
        return tuple(
            indices[_lookup_key(parameters[name])] for name, indices in self._indices.items()
        )


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values: list[Any] = list(
            range(distribution.low, distribution.high + 1, distribution.step or 1)
        )
    elif isinstance(distribution, FloatDistribution) and distribution.step is not None:
        steps = math.floor((distribution.high - distribution.low) / distribution.step + 1e-9)
        grid = [distribution.low + i * distribution.step for i in range(steps + 1)]
        values = [min(value, distribution.high) for value in grid]  # rounding may exceed `high`
    else:
        raise MixnasError(
            f"parameter '{name}' has no finite set of values; give it a step, or use a categorical "
            "distribution"
        )
    if len(values) > MAX_VALUES:
        raise MixnasError(
            f"parameter '{name}' has {len(values):,} values, but at most {MAX_VALUES:,} are "
            "supported; give it a larger step"
        )
    return values


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
