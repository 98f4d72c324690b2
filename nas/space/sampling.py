"""Sampling networks within limits, in bounded time.

1. Rejection sampling suffices for most limits. The first candidate is a fresh draw, and each of the
   following redraws one stage, so that every candidate is a draw from the space.
2. If no candidate is within the limits, a walk that never moves away from them looks for a member.
   From there, a random walk inside the limits (Metropolis with a symmetric proposal, whose
   stationary distribution is uniform for spaces without conditions) forgets its starting point.
3. If the walk does not find a member either, the error names the nearest network found.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.cost import Cost
from nas.errors import LimitError, MixnasError
from nas.limits import COST_METRICS, Limit, format_metric, total_violation
from nas.space.space import Space
from nas.space.variables import Genotype

DRAWS = 400  # candidates of rejection sampling; it fails in 2% of calls if 1% are within limits
WALKS = 10
WALK_STEPS = 800
MIXING_STEPS = 150
_BROKEN = 10.0  # a broken restriction weighs more than a violated limit


@dataclass(frozen=True)
class Sample:
    """A network within the limits.

    Attributes:
        genotype: Genotype of the network.
        cost: Exact costs of the network.
        uniform: Whether it was found by rejection sampling, and thus drawn from the space's own
            distribution within the limits.
    """

    genotype: Genotype
    cost: Cost
    uniform: bool


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
        return _BROKEN * broken, None
    try:
        cost = space.cost(genotype)
    except MixnasError:  # a block is not compatible with its input channels
        return _BROKEN, None
    return total_violation(limits, cost), cost


def sample(space: Space, rng: random.Random, limits: Iterable[Limit] = ()) -> Sample:
    """Return a random network that satisfies the space's restrictions and all limits on costs.

    Args:
        space: Space to sample from.
        rng: Random number generator.
        limits: Limits on costs, in addition to the space's own; limits on latency are ignored.

    Raises:
        LimitError: If none was found; the message gives the costs of the nearest network found.
    """
    bounds = cost_limits(space, limits)
    genotype = space.draw(rng)
    for _ in range(DRAWS):
        distance, cost = limit_violation(space, genotype, bounds)
        if distance == 0 and cost is not None:
            return Sample(genotype, cost, True)
        genotype = space.redraw(genotype, rng)
    nearest = approach(space, rng, bounds)
    distance, cost = limit_violation(space, nearest, bounds)
    if distance > 0 or cost is None:
        raise LimitError(_refusal(space, nearest, cost, bounds))
    return _mix(space, nearest, cost, rng=rng, limits=bounds)


def approach(space: Space, rng: random.Random, limits: Sequence[Limit]) -> Genotype:
    """Return the genotype nearest to restrictions and limits among those that a few walks find."""
    best, least = space.draw(rng), float("inf")
    for _ in range(WALKS):
        genotype = approach_from(space, space.draw(rng), rng, limits)
        distance, _ = limit_violation(space, genotype, limits)
        if distance == 0:
            return genotype
        if distance < least:
            best, least = genotype, distance
    return descend(space, best, limits)


def approach_from(
    space: Space, genotype: Genotype, rng: random.Random, limits: Sequence[Limit]
) -> Genotype:
    """Return the end of a random walk that never moves away from restrictions and limits."""
    distance, _ = limit_violation(space, genotype, limits)
    for _ in range(WALK_STEPS):
        if distance == 0:
            break
        changed = space.mutate(genotype, rng)
        if rng.random() < 0.5:  # two limits may require an increase and a decrease at once
            changed = space.mutate(changed, rng)
        changed_distance, _ = limit_violation(space, changed, limits)
        if changed_distance <= distance:
            genotype, distance = changed, changed_distance
    return genotype


def descend(space: Space, genotype: Genotype, limits: Sequence[Limit]) -> Genotype:
    """Return the end of a steepest descent towards the limits, by changes of one variable.

    Costs are monotonic in nearly every variable, so for a limit below the smallest network (or
    above the largest) the descent ends at that network.
    """
    distance, _ = limit_violation(space, genotype, limits)
    while distance > 0:
        options = [(limit_violation(space, g, limits)[0], g) for g in space.neighbours(genotype)]
        if not options or min(options)[0] >= distance:
            break
        distance, genotype = min(options)
    return genotype


def _mix(
    space: Space, genotype: Genotype, cost: Cost, *, rng: random.Random, limits: Sequence[Limit]
) -> Sample:
    """Return the end of a random walk inside the limits."""
    for _ in range(MIXING_STEPS):
        changed = space.mutate(genotype, rng)
        distance, changed_cost = limit_violation(space, changed, limits)
        if distance == 0 and changed_cost is not None:
            genotype, cost = changed, changed_cost
    return Sample(genotype, cost, False)


def _refusal(space: Space, genotype: Genotype, cost: Cost | None, limits: Sequence[Limit]) -> str:
    """Return the message of the error about limits that no network was found to meet."""
    if cost is None:
        broken = space.broken(genotype) or ["every block is compatible with its channels"]
        return (
            f"no network of '{space.name}' was found that satisfies its restrictions "
            f"({broken[0]}); relax them"
        )
    missed = [limit for limit in limits if limit.violation(getattr(cost, limit.metric)) > 0]
    nearest = ", ".join(
        f"{limit.metric} = {format_metric(limit.metric, getattr(cost, limit.metric))}"
        for limit in missed
    )
    required = " and ".join(str(limit) for limit in limits)
    return (
        f"no network of '{space.name}' was found with {required}; the nearest has {nearest}. "
        f"Relax the limit on {' or '.join(limit.metric for limit in missed)}, or use another space"
    )
