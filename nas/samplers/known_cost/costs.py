"""What is known of a network without training it: its costs and its covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nas.errors import MixnasError
from nas.limits import Limit
from nas.samplers.base import PastTrial
from nas.samplers.domain import CostFunction, Domain
from nas.space import Genotype

_CACHE_SIZE = 20_000  # networks


@runtime_checkable
class LearnedCost(Protocol):
    """A cost that is estimated from the trials so far, such as latency without a predictor."""

    @property
    def uncertainty(self) -> float:
        """Relative error to expect of an estimate; infinite if it is of no use against a limit."""
        ...

    def learn_from(self, past: Sequence[PastTrial]) -> bool:
        """Learn from trials; return whether the estimates have changed."""
        ...

    def __call__(self, proposal: Any) -> float:
        """Return the cost of what `Domain.view` returns."""
        ...


class KnownValues:
    """Costs and covariates of genotypes, computed once for each genotype.

    Attributes:
        n_costs: Number of costs.
    """

    def __init__(
        self,
        domain: Domain,
        costs: Sequence[str | CostFunction],
        covariates: Sequence[CostFunction] = (),
        cost_limits: Mapping[int, Sequence[Limit]] | None = None,
        limits_of_one: bool = False,
    ) -> None:
        """Collect the functions.

        Args:
            domain: Domain of the genotypes; its covariates are included.
            costs: Names of exact costs, or functions of what `Domain.view` returns.
            covariates: Functions that may correlate with accuracy.
            cost_limits: Limits on costs, by their index in `costs`.
            limits_of_one: Whether it is enough to keep the limits of one cost, whichever that is.

        Raises:
            MixnasError: If there is no cost of a name.
        """
        self._domain = domain
        functions = [domain.cost_function(cost) for cost in costs]
        self.n_costs = len(functions)
        self._learned = [cost for cost in functions if isinstance(cost, LearnedCost)]
        self._limits = [
            (function, tuple((cost_limits or {}).get(index, ())))
            for index, function in enumerate(functions)
        ]
        self._together = np.min if limits_of_one else np.sum
        self._functions = [*functions, *domain.covariates(), *covariates]
        self._cache: dict[Genotype, tuple[float, ...]] = {}

    def learn_from(self, past: Sequence[PastTrial]) -> None:
        """Update the learned costs by trials."""
        changed = [cost.learn_from(past) for cost in self._learned]
        if any(changed):
            self._cache.clear()

    def values(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return costs, then covariates, shape (genotypes, costs + covariates).

        Raises:
            MixnasError: If one of them is not a finite number.
        """
        if len(self._cache) > _CACHE_SIZE:
            self._cache.clear()
        for genotype in genotypes:
            if genotype not in self._cache:
                self._cache[genotype] = self._compute(genotype)
        rows = [self._cache[genotype] for genotype in genotypes]
        return np.array(rows).reshape(len(rows), len(self._functions))

    def _compute(self, genotype: Genotype) -> tuple[float, ...]:
        proposal = self._domain.view(genotype)
        values = []
        for index, function in enumerate(self._functions):
            value = function(proposal)
            if value is None or not np.isfinite(value):
                what = f"cost {index + 1}" if index < self.n_costs else "a covariate"
                raise MixnasError(f"{what} of {proposal} is {value}; it must be a finite number")
            values.append(float(value))
        return tuple(values)

    def costs(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return the costs, shape (genotypes, costs)."""
        return self.values(genotypes)[:, : self.n_costs]

    def violations(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return by how much costs violate their limits, 0 if they do not, shape (genotypes,).

        A learned cost violates a limit only as far as its uncertainty leaves no doubt.
        """
        costs = self.costs(genotypes)
        result = np.zeros((len(genotypes), self.n_costs))
        for index, (cost, limits) in enumerate(self._limits):
            doubt = cost.uncertainty if isinstance(cost, LearnedCost) else 0.0
            if np.isfinite(doubt):
                factors = (1 / (1 + doubt), 1.0, 1 + doubt)
                for limit in limits:
                    result[:, index] += [
                        min(limit.violation(v * f) for f in factors) for v in costs[:, index]
                    ]
        return np.asarray(self._together(result, axis=1))
