"""Drawing networks within limits.

A space has a distribution of its own, in which variables are drawn one by one (`Space.draw`). A
sample has that distribution, restricted to the networks within the limits: every network that they
admit is as likely, relative to the others, as it is without them.

1. Rejection sampling: independent draws, a few by themselves, then thousands at once
   (`nas.space.counting.tables`), of which small groups of variables satisfy the restrictions
   already (`sampling.groups`). Each is a draw from the space, so the first one inside is an even
   one. (In a chain of similar draws it would not be: most chains enter at the limits.)
2. Where that finds nothing, a small space is enumerated.
3. In a large one, a population of draws is led towards the limits (`sampling.particles`). What it
   ends with is nearly even.
4. If that does not reach them either, the error names the nearest network that walks towards the
   limits have found.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.cost import Cost
from nas.errors import LimitError
from nas.limits import Limit, format_metric
from nas.space.sampling.enumeration import ENUMERATED, admitted_networks
from nas.space.sampling.groups import group_draws
from nas.space.sampling.particles import Particles
from nas.space.sampling.violation import cost_limits, limit_violation, violations
from nas.space.sampling.walks import approach
from nas.space.space import Space
from nas.space.variables import Genotype

SINGLE = 4  # draws before thousands are drawn at once, where that is possible
DRAWS = 400  # draws where it is not
BATCHES = (128, 512, 2048, 8192, 16384, 32768)  # it fails in 0.3% of calls if 1 in 10,000 is inside


@dataclass(frozen=True)
class Sample:
    """A network within the limits.

    Attributes:
        genotype: Genotype of the network.
        cost: Exact costs of the network.
        exact: Whether its distribution is exactly the space's own within the limits, rather than
            nearly so.
    """

    genotype: Genotype
    cost: Cost
    exact: bool


def sample(space: Space, rng: random.Random, limits: Iterable[Limit] = ()) -> Sample:
    """Return a random network that satisfies the space's restrictions and all limits on costs.

    Args:
        space: Space to sample from.
        rng: Random number generator.
        limits: Limits on costs, in addition to the space's own; limits on latency are ignored.

    Examples:
        >>> from nas.limits import parse_limits
        >>> from nas.space import load_space
        >>> space = load_space("mixnet")
        >>> drawn = sample(space, random.Random(0), parse_limits(["madds=390M..400M"]))
        >>> 390_000_000 <= drawn.cost.madds <= 400_000_000
        True
        >>> space.decode(drawn.genotype, name="mine").name
        'mine'

    Raises:
        LimitError: If there is none, or none was found; the message says which, and gives the costs
            of the nearest network found.
    """
    return sample_many(space, rng, 1, limits)[0]


def sample_many(
    space: Space, rng: random.Random, number: int, limits: Iterable[Limit] = ()
) -> list[Sample]:
    """Return several independent samples (see `sample`), which is quicker than one after another.

    Args:
        space: Space to sample from.
        rng: Random number generator.
        number: Number of samples; a network may be among them more than once.
        limits: Limits on costs, in addition to the space's own; limits on latency are ignored.

    Raises:
        LimitError: See `sample`.
    """
    bounds = cost_limits(space, limits)
    found: list[Sample] = []
    for genotype in _draws(space, rng, bounds, number):
        found += _inside(space, genotype, bounds, exact=True)
        if len(found) == number:
            return found
    missing = number - len(found)
    if space.assignments <= ENUMERATED:
        genotypes, weights = admitted_networks(space, bounds)
        if not genotypes:
            raise LimitError(_refusal(space, approach(space, rng, bounds), bounds, certain=True))
        chosen = rng.choices(genotypes, weights, k=missing)
        return found + [Sample(genotype, space.cost(genotype), True) for genotype in chosen]
    population: list[Genotype] = []
    while len(population) < missing:
        # A population of its own for every few, since members of one are not independent.
        particles = Particles(space, rng, bounds)
        few = particles.lead(min(particles.size, missing - len(population)))
        if not few:
            population = population and rng.choices(population, k=missing)
            break
        population += few
    for genotype in population or [approach(space, rng, bounds)] * missing:
        reached = _inside(space, genotype, bounds, exact=False)
        if not reached:
            raise LimitError(_refusal(space, genotype, bounds, certain=False))
        found += reached
    return found


def _inside(space: Space, genotype: Genotype, limits: Sequence[Limit], exact: bool) -> list[Sample]:
    """Return the sample of a genotype that is within the limits, else an empty list."""
    distance, cost = limit_violation(space, genotype, limits)
    return [] if distance > 0 or cost is None else [Sample(genotype, cost, exact)]


def _draws(
    space: Space, rng: random.Random, limits: Sequence[Limit], number: int
) -> Iterator[Genotype]:
    """Yield independent draws; of the later ones, those alone that are within the limits.

    Args:
        space: Space to draw from.
        rng: Random number generator.
        limits: Limits on costs.
        number: Number of networks that are wanted.
    """
    for _ in range(SINGLE * number):
        yield space.draw(rng)
    tables = space.cost_tables if limits else None
    draws = group_draws(space)
    if tables is None and not draws.restrict:
        for _ in range(DRAWS * number):
            yield space.draw(rng)
        return
    generator = np.random.default_rng(rng.getrandbits(64))
    if tables is None:
        for _ in range(DRAWS):
            for row in draws.full(generator, number).tolist():
                yield space.canonical(row)
        return
    for size in BATCHES if space.assignments > ENUMERATED else BATCHES[:2]:
        full = draws.full(generator, size)
        inside = violations(tables, full, limits) == 0
        for row in full[inside].tolist():
            yield space.canonical(row)


def _refusal(space: Space, genotype: Genotype, limits: Sequence[Limit], certain: bool) -> str:
    """Return the message of the error about limits that no network was found to meet.

    Args:
        space: The space.
        genotype: The nearest network found.
        limits: The limits.
        certain: Whether all networks were looked at.
    """
    _, cost = limit_violation(space, genotype, limits)
    if cost is None:
        broken = space.broken(genotype) or ["every block is compatible with its channels"]
        found = "" if certain else "was found that "
        return (
            f"no network of '{space.name}' {found}satisfies its restrictions ({broken[0]}); "
            "relax them"
        )
    missed = [limit for limit in limits if limit.violation(getattr(cost, limit.metric)) > 0]
    nearest = ", ".join(
        f"{limit.metric} = {format_metric(limit.metric, getattr(cost, limit.metric))}"
        for limit in missed
    )
    required = " and ".join(str(limit) for limit in limits)
    found = "has" if certain else "was found with"
    return (
        f"no network of '{space.name}' {found} {required}; the nearest has {nearest}. "
        f"Relax the limit on {' or '.join(limit.metric for limit in missed)}, or use another space"
    )
