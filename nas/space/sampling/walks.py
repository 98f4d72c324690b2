"""Walks from a genotype towards the limits."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nas.limits import Limit
from nas.space.sampling.violation import limit_violation
from nas.space.space import Space
from nas.space.variables import Genotype

WALKS = 10
WALK_STEPS = 800


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
