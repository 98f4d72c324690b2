"""What an accuracy estimator is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from nas.progress import Step
from nas.spec import NetworkSpec


class EstimateError(Exception):
    """A network that could not be judged; the text is the reason that its trial records."""


@dataclass(frozen=True)
class Estimate:
    """How accurate a network is thought to be.

    Attributes:
        accuracy: on the validation part, 0..1; None where nothing was trained.
        loss: cross entropy on the validation part, or None.
        seconds: wall-clock time spent.
        seed: of weights, order and augmentation.
        score: what networks are ranked by, more is better; the accuracy if not given.
    """

    accuracy: float | None
    loss: float | None
    seconds: float
    seed: int
    score: float = math.nan

    def __post_init__(self) -> None:
        """Rank by accuracy where nothing else is said."""
        if math.isnan(self.score) and self.accuracy is not None:
            object.__setattr__(self, "score", self.accuracy)

    @property
    def by_accuracy(self) -> bool:
        """Whether the score is the accuracy."""
        return self.score == self.accuracy


class Estimator(Protocol):
    """Judges networks. Instances are sent to worker processes, so they hold settings, not data.

    An estimator whose scores are no accuracies may have two attributes more: ``label``, what
    they are called, and ``ceiling``, the score that none exceeds, or None if there is no such.
    """

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that its numbers depend on, beside network and seed."""
        ...

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """Judge one network; the same seed gives the same number on the same machine.

        Raises:
            EstimateError: when the network cannot be judged.
        """
        ...


@runtime_checkable
class StagedEstimator(Estimator, Protocol):
    """Judges networks in stages (fidelities), so that bad ones can be given up early.

    Attributes:
        stages: how many.
    """

    stages: int

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """Yield an estimate after every stage; the last one equals that of `estimate`.

        Raises:
            EstimateError: when the network cannot be judged.
        """
        ...


@runtime_checkable
class PreparedEstimator(Estimator, Protocol):
    """Has something long to do once, before the first network, as reading images."""

    def prepare(self, step: Step | None = None) -> list[str]:
        """Do it; return what a user should know.

        Args:
            step: told how far it is.

        Raises:
            MixnasError: when it cannot be done.
        """
        ...


@runtime_checkable
class PortableEstimator(Estimator, Protocol):
    """Rests on what another machine does not have, and can be given it there."""

    def state(self) -> bytes:
        """Return what to take along."""
        ...

    def unpack(self, state: bytes) -> None:
        """Keep on this machine what was taken along."""
        ...


def max_score_of(estimator: Estimator) -> float | None:
    """Return the score that no network exceeds, or None; 1 unless the estimator says otherwise."""
    found: float | None = getattr(estimator, "ceiling", 1.0)
    return found


def label_of(estimator: Estimator) -> str:
    """Return what an estimator's scores are called in tables and figures."""
    return str(getattr(estimator, "label", "validation accuracy"))


def in_stages(estimator: Estimator, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
    """Yield the estimates of any estimator; one without stages has one."""
    if isinstance(estimator, StagedEstimator):
        yield from estimator.estimates(spec, seed)
    else:
        yield estimator.estimate(spec, seed)


def number_of_stages(estimator: Estimator) -> int:
    """Return how many estimates `in_stages` yields."""
    return estimator.stages if isinstance(estimator, StagedEstimator) else 1
