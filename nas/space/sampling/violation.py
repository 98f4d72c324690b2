"""How far genotypes are outside the restrictions and limits of a space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from nas.cost import Cost
from nas.errors import MixnasError
from nas.limits import COST_METRICS, Limit, total_violation
from nas.space.counting import CostTables
from nas.space.space import Space
from nas.space.variables import Genotype

BROKEN = 10.0  # a broken restriction weighs more than a violated limit


def cost_limits(space: Space, limits: Iterable[Limit]) -> list[Limit]:
    """Return the space's own limits and further ones, without those on latency."""
    return [limit for limit in (*space.limits, *limits) if limit.metric in COST_METRICS]


def limit_violation(
    space: Space, genotype: Genotype, limits: Sequence[Limit]
) -> tuple[float, Cost | None]:
    """Return how far a genotype is outside restrictions and limits, and its costs.

    The violation is 0 inside; the costs are None if the network cannot be built.
    """
    broken = len(space.broken(genotype))
    if broken:
        return BROKEN * broken, None
    try:
        cost = space.cost(genotype)
    except MixnasError:  # a block is not compatible with its input channels
        return BROKEN, None
    return total_violation(limits, cost), cost


def violations(tables: CostTables, full: np.ndarray, limits: Sequence[Limit]) -> np.ndarray:
    """Return how far full genotypes are outside limits, 0 inside, shape (genotypes,).

    Restrictions are ignored.

    Args:
        tables: Costs of the space.
        full: Indices of all variables, shape (genotypes, variables).
        limits: Limits on costs.
    """
    total = np.zeros(len(full))
    for limit in limits:
        costs = tables.costs(full, limit.metric)
        unbuildable = np.isinf(costs)
        if limit.upper is not None:
            total += np.maximum(0, costs - limit.upper) / max(limit.upper, 1e-9)
        if limit.lower is not None:
            total += np.maximum(0, limit.lower - costs) / max(limit.lower, 1e-9)
        total[unbuildable] = BROKEN
    return total
