"""Random search: uniform draws from the networks within the limits."""

from __future__ import annotations

import random
from collections.abc import Sequence

from optuna.study import Study

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal


class RandomSampler(GenotypeSampler):
    """Random search.

    A proposal depends only on the seed and the trial's number, so neither the order of results nor
    the number of workers changes it.
    """

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        return Proposal(self.domain.draw(rng))
