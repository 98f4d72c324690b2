"""Two opinions of a network in one score: its accuracy with shared weights, and a zero-cost score.

Estimates of different kinds err in different ways, so that they rank networks better together than
each of them alone (White et al. 2021, arXiv:2104.01177). A zero-cost score has a scale of its own;
what it says is put into percentage points of accuracy by networks that are drawn from the space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ConfigDict, FiniteFloat, NonNegativeFloat
from pydantic.dataclasses import dataclass

from nas.document import read_document, validate
from nas.files import write_atomic

COMPARED = 24
"""Networks that tell a scale. Their spread need not be known well: two thirds to one third and one
third to two thirds rank hardly worse than halves (`experiments/results/supernet_settings.json`)."""


class Opinions(NamedTuple):
    """What two estimates say of a network.

    Attributes:
        accuracy: Its accuracy with shared weights, 0..1.
        zero_cost: Its zero-cost score, on a scale of its own.
    """

    accuracy: float
    zero_cost: float


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Blend:
    """How accuracies and zero-cost scores are distributed among the networks of a space.

    Attributes:
        accuracy: Mean of the accuracies.
        accuracy_deviation: Their standard deviation.
        zero_cost: Mean of the zero-cost scores.
        zero_cost_deviation: Their standard deviation.
    """

    accuracy: FiniteFloat
    accuracy_deviation: NonNegativeFloat
    zero_cost: FiniteFloat
    zero_cost_deviation: NonNegativeFloat

    @classmethod
    def of(cls, drawn: Iterable[Opinions]) -> Blend:
        """Return the blend by networks that were drawn at random, at least one."""
        columns = np.array(list(drawn), dtype=float)
        mean, deviation = columns.mean(0).tolist(), columns.std(0).tolist()
        return cls(mean[0], deviation[0], mean[1], deviation[1])

    @classmethod
    def read(cls, path: Path) -> Blend:
        """Read a blend that `write` has written.

        Raises:
            MixnasError: If the file is missing or damaged.
        """
        blend: Blend = validate(cls, read_document(path))
        return blend

    def write(self, path: Path) -> None:
        """Write the blend as JSON."""
        write_atomic(path, json.dumps(vars(self)))

    def score(self, network: Opinions) -> float:
        """Return the mean of a network's accuracy and of what its zero-cost score suggests, 0..1.

        A network is suggested to be as many standard deviations above the mean accuracy as its
        zero-cost score is above the mean of those.
        """
        if not self.zero_cost_deviation:
            return network.accuracy
        above = (network.zero_cost - self.zero_cost) / self.zero_cost_deviation
        suggested = self.accuracy + self.accuracy_deviation * above
        return min(1.0, max(0.0, (network.accuracy + suggested) / 2))
