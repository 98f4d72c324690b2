"""Even draws from all that the limits admit."""

from __future__ import annotations

import random
from collections.abc import Sequence

from optuna.study import Study

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal


class RandomSampler(GenotypeSampler):
    """Random search.

    A trial follows from the seed and its number alone: it is the same whatever the order of
    results or the number of workers.
    """

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        return Proposal(self.domain.draw(rng))
