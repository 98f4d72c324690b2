"""Drawing networks that meet limits, and always coming to an end.

Three steps. Rejection is enough for most limits: a fresh draw, then one stage drawn anew at a
time, so that every candidate is a draw from the space, until one is inside. When none is, a walk
that never moves away from the limits finds a member, and a random walk inside the
limits (Metropolis with a symmetric proposal, whose stationary distribution is uniform for spaces
without conditions) forgets where it came from. When that finds nothing either, the nearest network
there is becomes part of the error.
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

DRAWS = 400  # candidates of rejection: where 1% is inside, this fails in 2% of calls
WALKS = 10
WALK_STEPS = 800
MIXING_STEPS = 150
_BROKEN = 10.0  # a broken restriction weighs more than any limit


@dataclass(frozen=True)
class Sample:
    """A network that meets the limits.

    Attributes:
        genotype: of the network.
        cost: its exact costs.
        uniform: whether it was drawn by rejection, so evenly among the members.
    """

    genotype: Genotype
    cost: Cost
    uniform: bool


def cost_limits(space: Space, limits: Iterable[Limit]) -> list[Limit]:
    """Return the limits of a space and of the caller that are on costs, not on latency."""
    return [limit for limit in (*space.limits, *limits) if limit.metric in COST_METRICS]


def limit_violation(
    space: Space, genotype: Genotype, limits: Sequence[Limit]
) -> tuple[float, Cost | None]:
    """Return how far a genotype is from restrictions and limits (0 inside), and its cost."""
    broken = len(space.broken(genotype))
    if broken:
        return _BROKEN * broken, None
    try:
        cost = space.cost(genotype)
    except MixnasError:  # a block that does not fit its channels
        return _BROKEN, None
    return total_violation(limits, cost), cost


def sample(space: Space, rng: random.Random, limits: Iterable[Limit] = ()) -> Sample:
    """Draw a network that meets the space's restrictions and all limits on costs.

    Args:
        space: where to draw from.
        rng: decides everything random.
        limits: beside the space's own; those on latency are not looked at.

    Raises:
        LimitError: when none was found; the text names the nearest network and its costs.
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
    return _mix(space, nearest, cost, rng, bounds)


def approach(space: Space, rng: random.Random, limits: Sequence[Limit]) -> Genotype:
    """Return the genotype nearest to restrictions and limits that a few walks find."""
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
    """Walk by one or two changes at a time, never away from restrictions and limits."""
    distance, _ = limit_violation(space, genotype, limits)
    for _ in range(WALK_STEPS):
        if distance == 0:
            break
        changed = space.mutate(genotype, rng)
        if rng.random() < 0.5:  # two limits at once may need a step up and a step down
            changed = space.mutate(changed, rng)
        there, _ = limit_violation(space, changed, limits)
        if there <= distance:
            genotype, distance = changed, there
    return genotype


def descend(space: Space, genotype: Genotype, limits: Sequence[Limit]) -> Genotype:
    """Take the best single change until none brings the genotype nearer to the limits.

    Costs rise with every single variable, so that for a limit below the smallest network (or above
    the largest) this ends at that network.
    """
    distance, _ = limit_violation(space, genotype, limits)
    while distance > 0:
        options = [(limit_violation(space, g, limits)[0], g) for g in space.neighbours(genotype)]
        if not options or min(options)[0] >= distance:
            break
        distance, genotype = min(options)
    return genotype


def _mix(
    space: Space, genotype: Genotype, cost: Cost, rng: random.Random, limits: Sequence[Limit]
) -> Sample:
    for _ in range(MIXING_STEPS):
        changed = space.mutate(genotype, rng)
        distance, its_cost = limit_violation(space, changed, limits)
        if distance == 0 and its_cost is not None:
            genotype, cost = changed, its_cost
    return Sample(genotype, cost, False)


def _refusal(space: Space, genotype: Genotype, cost: Cost | None, limits: Sequence[Limit]) -> str:
    if cost is None:
        broken = space.broken(genotype) or ["every block fits its channels"]
        return (
            f"no network of '{space.name}' was found that keeps its restrictions ({broken[0]}); "
            "loosen them"
        )
    missed = [limit for limit in limits if limit.violation(getattr(cost, limit.metric)) > 0]
    nearest = ", ".join(
        f"{limit.metric} = {format_metric(limit.metric, getattr(cost, limit.metric))}"
        for limit in missed
    )
    asked = " and ".join(str(limit) for limit in limits)
    return (
        f"no network of '{space.name}' was found with {asked}; the nearest has {nearest}. "
        f"Widen the limit on {' or '.join(limit.metric for limit in missed)}, or use another space"
    )
