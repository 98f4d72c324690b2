"""What an accuracy estimator is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from nas.spec import NetworkSpec


class EstimateError(Exception):
    """A network that could not be judged; the text is the reason that its trial records."""


@dataclass(frozen=True)
class Estimate:
    """How accurate a network is thought to be.

    Attributes:
        accuracy: on the validation part, 0..1.
        loss: cross entropy on the validation part.
        seconds: wall-clock time spent.
        seed: of weights, order and augmentation.
    """

    accuracy: float
    loss: float
    seconds: float
    seed: int


class Estimator(Protocol):
    """Judges networks. Instances are sent to worker processes, so they hold settings, not data."""

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that its numbers depend on, beside network and seed."""
        ...

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """Judge one network; the same seed gives the same number on the same machine.

        Raises:
            EstimateError: when the network cannot be judged.
        """
        ...
