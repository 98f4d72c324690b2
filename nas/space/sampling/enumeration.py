"""All networks of a small space that restrictions and limits admit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nas.limits import Limit
from nas.space.sampling.violation import limit_violation, violations
from nas.space.space import Space
from nas.space.variables import Genotype

ENUMERATED = 20_000  # assignments of a space that is small enough to be enumerated


def admitted_networks(space: Space, limits: Sequence[Limit]) -> tuple[list[Genotype], list[float]]:
    """Return all genotypes that are admitted, in order, and how likely `Space.draw` makes them.

    Args:
        space: A space of few assignments (see `Space.assignments`), at most `ENUMERATED`.
        limits: Limits on costs.

    Returns:
        The genotypes, and their relative frequencies.
    """
    sizes = [len(variable.values) for variable in space.variables]
    full = np.indices(sizes).reshape(len(sizes), math.prod(sizes)).T
    if limits and space.cost_tables is not None:
        full = full[violations(space.cost_tables, full, limits) == 0]
    weights = [variable.weights or [1.0] * len(variable.values) for variable in space.variables]
    likelihoods: defaultdict[Genotype, float] = defaultdict(float)
    for row in full.tolist():
        likelihood = math.prod(w[index] for w, index in zip(weights, row, strict=True))
        likelihoods[space.canonical(row)] += likelihood
    admitted = sorted(g for g in likelihoods if limit_violation(space, g, limits)[0] == 0)
    return admitted, [likelihoods[genotype] for genotype in admitted]
