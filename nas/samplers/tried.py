"""The genotypes that trials have tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from nas.space import INACTIVE, Genotype


class Tried:
    """A set of genotypes.

    In a define-by-run script, an inactive variable stands for any value: a trial that did not
    suggest a parameter would suggest the same parameters again, whichever value that one has.
    """

    def __init__(self, genotypes: Iterable[Genotype], partial: bool = False) -> None:
        """Collect genotypes.

        Args:
            genotypes: The genotypes.
            partial: Whether inactive variables stand for any value. Otherwise the domain knows
                which variables are inactive.
        """
        self._genotypes = dict.fromkeys(genotypes)
        # Of each set of active positions, the values that were tried.
        self._patterns: defaultdict[tuple[int, ...], set[Genotype]] = defaultdict(set)
        for genotype in self._genotypes if partial else ():
            active = tuple(i for i, index in enumerate(genotype) if index != INACTIVE)
            self._patterns[active].add(tuple(genotype[i] for i in active))

    def __contains__(self, genotype: Genotype) -> bool:
        # What seems to be inactive is proposed with its first value (see `Domain.to_parameters`).
        return genotype in self._genotypes or any(
            tuple([max(genotype[i], 0) for i in active]) in known
            for active, known in self._patterns.items()
        )

    def __iter__(self) -> Iterator[Genotype]:
        return iter(self._genotypes)

    def __len__(self) -> int:
        return len(self._genotypes)
