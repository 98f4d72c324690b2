"""Several estimates of a network in one score: shared weights, a zero-cost score, short training.

Estimates of different kinds err in different ways, so that an ensemble of them ranks networks
better than each of them alone (White et al. 2021, arXiv:2104.01177). Each is standardized (a
z-score) by what it says of networks that are drawn from the space. The mean is taken on the scale
of log odds, on which accuracies have no bounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass
from scipy.special import expit, logit

from nas.document import read_document, validate
from nas.errors import MixnasError
from nas.files import write_atomic

MOST_MEMBERS = 8
SMALLEST_ERROR = 1e-3
"""Accuracies within this of 0 and 1 count as that far from them: log odds have a bound then, and
finite validation sets tell them apart hardly any better."""
_SAME = 1e-9  # relative deviation of estimates that differ by rounding alone
Estimates = Sequence[float]
"""A network's accuracy with shared weights, 0..1, then what other estimators say of it, on scales
of their own; nan for an estimator that has no value for the network."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ensemble:
    """How the estimates of the networks of a space are distributed.

    Attributes:
        means: Mean of each estimate; that of the accuracies is in log odds.
        deviations: Their standard deviations; 0 for an estimate that does not count, since it is
            the same of all networks, or of fewer than two.
    """

    means: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=MOST_MEMBERS)]
    deviations: Annotated[
        tuple[Annotated[FiniteFloat, Field(ge=0)], ...],
        Field(min_length=1, max_length=MOST_MEMBERS),
    ]

    @classmethod
    def of(cls, drawn: Sequence[Estimates]) -> Ensemble:
        """Return the ensemble by the estimates of networks that were drawn at random.

        Args:
            drawn: The estimates of each network, of at least one; accuracies are never nan.
        """
        accuracies, *others = np.array(drawn, dtype=float).T
        columns = [_log_odds(accuracies), *(column[~np.isnan(column)] for column in others)]
        means, deviations = zip(*map(_distribution, columns), strict=True)
        return cls(means, deviations)

    @classmethod
    def read(cls, path: Path, members: int) -> Ensemble:
        """Read what `write` has written.

        Args:
            path: Path of the file.
            members: Number of estimates.

        Raises:
            MixnasError: If the file is missing or damaged, or has another number of estimates.
        """
        ensemble: Ensemble = validate(cls, read_document(path))
        if {len(ensemble.means), len(ensemble.deviations)} != {members}:
            raise MixnasError(f"{path} does not describe {members} estimates")
        return ensemble

    def write(self, path: Path) -> None:
        """Write the distributions as JSON."""
        write_atomic(path, json.dumps(vars(self)))

    def score(self, estimates: Estimates) -> float:
        """Return the mean of a network's accuracy and of those that others suggest, in 0..1.

        An estimate suggests an accuracy that is as many standard deviations above the mean as the
        estimate itself is, in log odds.
        """
        return float(expit(np.mean(self.suggested(estimates))))

    def suggested(self, estimates: Estimates) -> list[float]:
        """Return what a network's estimates suggest, in log odds: its own accuracy is the first.

        Estimates that do not count, or that there are none of, are left out.
        """
        accuracy, *others = estimates
        spread = zip(others, self.means[1:], self.deviations[1:], strict=True)
        return [
            float(_log_odds(accuracy)),
            *(
                self.means[0] + self.deviations[0] * (estimate - mean) / deviation
                for estimate, mean, deviation in spread
                if deviation and not math.isnan(estimate)
            ),
        ]


ALONE = Ensemble((0.0,), (0.0,))
"""An accuracy with shared weights that no other estimate counts beside."""


def _log_odds(accuracies: Any) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracies, SMALLEST_ERROR, 1 - SMALLEST_ERROR)))


def _distribution(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation, which is 0 if all values are the same."""
    mean, deviation = (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)
    return mean, deviation if deviation > _SAME * abs(mean) else 0.0
