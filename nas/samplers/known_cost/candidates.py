"""Candidates of the known-cost sampler: a pool of networks within the limits, and children."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from scipy.stats import qmc

from nas.samplers.domain import Domain
from nas.space import Genotype

POOL = 192  # networks in the pool
RENEWED = 24  # networks of the pool that are replaced with every proposal
CHILDREN = 160  # attempts at a child in each round of local search


class CandidatePool:
    """Networks within the limits, some of which are replaced with every proposal.

    Attributes:
        genotypes: Networks of the pool; empty before the first `renew`.
    """

    def __init__(self, domain: Domain) -> None:
        """Create an empty pool of a domain's genotypes."""
        self._domain = domain
        self.genotypes: list[Genotype] = []

    def renew(self, rng: random.Random) -> None:
        """Fill the pool with draws, or replace some of its networks by others.

        Raises:
            LimitError: If no network within the limits was found.
        """
        if not self.genotypes:
            self.genotypes = self._domain.draw_many(rng, POOL)
            return
        places = rng.sample(range(len(self.genotypes)), RENEWED)
        for i, genotype in zip(places, self._domain.draw_many(rng, RENEWED), strict=True):
            self.genotypes[i] = genotype


def children(domain: Domain, parents: Sequence[Genotype], rng: random.Random) -> list[Genotype]:
    """Return distinct children within the limits: one or two mutations, or a crossover and those.

    Args:
        domain: Domain of the genotypes.
        parents: Genotypes to start from; at least one.
        rng: Source of all randomness.
    """
    result: dict[Genotype, None] = {}
    for _ in range(CHILDREN):
        child = rng.choice(parents)
        kind = rng.random()
        if kind < 0.3:
            child = domain.crossover(child, rng.choice(parents), rng)
        for _ in range(1 if kind < 0.65 else 2):
            child = domain.mutate(child, rng)
        if child not in result and domain.admits(child):
            result[child] = None
    return list(result)


def spread_position(index: int) -> float:
    """Return the index-th position of an even spread over 0..1.

    Both ends come first, then the base-2 van der Corput sequence, which halves the gaps.
    """
    if index < 2:
        return float(index)
    van_der_corput = qmc.Halton(1, scramble=False).fast_forward(index - 1)
    return float(van_der_corput.random()[0, 0])


def best_scored(scores: Mapping[Genotype, float], n: int) -> list[Genotype]:
    """Return the n genotypes with the highest scores, best first; ties keep their order."""
    return sorted(scores, key=lambda g: -scores[g])[:n]


def most_different(
    genotypes: Sequence[Genotype], others: Sequence[Genotype], rng: random.Random
) -> Genotype:
    """Return the genotype whose nearest of some others is farthest; a random one of equals.

    Args:
        genotypes: Genotypes to choose from; at least one.
        others: The others.
        rng: Source of all randomness.
    """
    distances = [min((differences(g, o) for o in others), default=0) for g in genotypes]
    farthest = max(distances)
    return rng.choice([g for g, d in zip(genotypes, distances, strict=True) if d == farthest])


def differences(one: Genotype, two: Genotype) -> int:
    """Return the number of variables in which two genotypes differ."""
    return sum(a != b for a, b in zip(one, two, strict=True))
