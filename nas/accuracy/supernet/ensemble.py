"""Several estimates of a network in one score: shared weights, a zero-cost score, short training.

Estimates of different kinds err in different ways, so that an ensemble of them ranks networks
better than each of them alone (White et al. 2021, arXiv:2104.01177). Each is standardized (a
z-score) by what it says of networks that are drawn from the space. The mean is taken on the scale
of log odds, on which accuracies have no bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass
from scipy.special import expit, logit

from nas.document import Document, validate
from nas.units import number_of

SMALLEST_ERROR = 1e-3
"""Accuracies within this of 0 and 1 count as that far from them: log odds have a bound then, and
finite validation sets tell them apart hardly any better."""
_SAME = 1e-9  # relative deviation of estimates that differ by rounding alone
Estimates = Sequence[float]
"""A network's accuracy with shared weights, 0..1, then what other estimators say of it, on scales
of their own; nan for a network that is below an estimator's scale."""
_Numbers = Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ensemble:
    """How the estimates of the networks of a space are distributed.

    Attributes:
        means: Mean of each estimate; that of the accuracies is in log odds.
        deviations: Their standard deviations; 0 for an estimate that is the same of all networks.
        lowest: The lowest of each estimate, which nan counts as.
    """

    means: _Numbers
    deviations: Annotated[tuple[Annotated[FiniteFloat, Field(ge=0)], ...], Field(min_length=1)]
    lowest: _Numbers

    @classmethod
    def of(cls, drawn: Sequence[Estimates]) -> Ensemble:
        """Return the ensemble by the estimates of networks that were drawn at random.

        Args:
            drawn: The estimates of each network, of at least one; accuracies are never nan.
        """
        accuracies, *others = np.array(drawn, dtype=float).T
        columns = [_log_odds(accuracies), *map(_with_lowest, others)]
        means, deviations, lowest = zip(*map(_distribution, columns), strict=True)
        return cls(means, deviations, lowest)

    @classmethod
    def of_document(cls, document: Document, members: int) -> Ensemble:
        """Return an ensemble that was kept.

        Args:
            document: The `facts` of the ensemble.
            members: Number of estimates.

        Raises:
            MixnasError: If the document is damaged, or has another number of estimates.
        """
        ensemble: Ensemble = validate(cls, document)
        for name, numbers in ensemble.facts().items():
            if len(numbers) != members:
                document.fail((name,), f"expected {number_of(members, 'number')}")
        return ensemble

    def facts(self) -> dict[str, list[float]]:
        """Return the distributions as plain data."""
        return {name: list(numbers) for name, numbers in vars(self).items()}

    def score(self, estimates: Estimates) -> float:
        """Return the mean of a network's accuracy and of those that others suggest, in 0..1.

        An estimate suggests an accuracy that is as many standard deviations above the mean as the
        estimate itself is, in log odds.
        """
        return float(expit(np.mean(self.suggested(estimates))))

    def suggested(self, estimates: Estimates) -> list[float]:
        """Return what a network's estimates suggest, in log odds: its own accuracy is the first.

        Estimates that are the same of all networks are left out.
        """
        accuracy, *others = estimates
        suggested = [float(_log_odds(accuracy))]
        spread = zip(others, self.means[1:], self.deviations[1:], self.lowest[1:], strict=True)
        for estimate, mean, deviation, lowest in spread:
            if deviation and self.deviations[0]:
                known = lowest if math.isnan(estimate) else estimate
                suggested.append(self.means[0] + self.deviations[0] * (known - mean) / deviation)
        return suggested


def _log_odds(accuracies: Any) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracies, SMALLEST_ERROR, 1 - SMALLEST_ERROR)))


def _with_lowest(estimates: np.ndarray) -> np.ndarray:
    known = estimates[~np.isnan(estimates)]
    lowest = float(known.min()) if len(known) else 0.0
    return np.where(np.isnan(estimates), lowest, estimates)


def _distribution(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard deviation (0 if all values are the same) and lowest value."""
    mean, deviation = float(values.mean()), float(values.std())
    return mean, deviation if deviation > _SAME * abs(mean) else 0.0, float(values.min())
