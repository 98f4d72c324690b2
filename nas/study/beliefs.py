"""What a study believes of its networks, from the scores of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.samplers.known_cost.belief import believed_accuracies
from nas.space import Genotype, Space
from nas.space.encoding import encode_all

_COSTS = ("params", "madds", "activations")
"""Costs that tell how good a network may be, beside its choices."""


class Beliefs:
    """What is believed of networks; it is computed anew only when another score has come in."""

    def __init__(self, space: Space) -> None:
        """Believe nothing yet.

        Args:
            space: Search space of the networks.
        """
        self._space = space
        self._known: tuple[list[Genotype], list[float]] = ([], [])
        self._beliefs: list[float] = []

    def of(self, genotypes: Sequence[Genotype], rows: Sequence[dict[str, Any]]) -> list[float]:
        """Return what is believed of networks; see `believed_accuracies`.

        Args:
            genotypes: The networks.
            rows: Their rows in the table of trials, with costs and an accuracy as ``raw_score``.
        """
        known = (list(genotypes), [row["raw_score"] for row in rows])
        if known != self._known and rows:
            costs = [[row.get(name) or 0 for name in _COSTS] for row in rows]
            believed = believed_accuracies(
                encode_all(self._space, genotypes),
                np.array(costs, dtype=float),
                np.array(known[1], dtype=float),
            )
            self._known, self._beliefs = known, believed.tolist()
        return self._beliefs if rows else []
