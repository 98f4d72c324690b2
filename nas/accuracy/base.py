"""The contract of accuracy estimators, and the optional abilities that one may have.

A command calls, in this order:

1. `PreparedEstimator.prepare` once, before the first network, if the estimator has it;
2. `PortableEstimator.export_state`, and `import_state` on every other machine, if it has them;
3. `StagedEstimator.estimates` or `Estimator.estimate` for every network, in worker processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from nas.named import AnyNetwork, TimmNetwork
from nas.progress import Step
from nas.spec import NetworkSpec


class EstimateError(Exception):
    """A network that cannot be evaluated; the text is recorded as the reason its trial failed."""


@dataclass(frozen=True)
class Estimate:
    """The estimated accuracy of a network.

    Attributes:
        accuracy: Accuracy on the validation split, 0..1; None if nothing was trained.
        loss: Cross entropy on the validation split; None if there is none.
        seconds: Wall-clock time spent, in seconds.
        seed: Seed of weights, order of the images and augmentation.
        score: Figure by which networks are ranked, higher is better; by default the accuracy.
        remark: Anything out of the ordinary, for the table of trials; usually empty.
    """

    accuracy: float | None
    loss: float | None
    seconds: float
    seed: int
    score: float = math.nan
    remark: str = ""

    def __post_init__(self) -> None:
        """Fill in the accuracy if no score is given."""
        if math.isnan(self.score) and self.accuracy is not None:
            object.__setattr__(self, "score", self.accuracy)


class Estimator(Protocol):
    """Evaluates networks. Instances are sent to worker processes: they hold settings, not data.

    An estimator may have three further attributes: ``label``, the name of its scores in tables and
    figures; ``is_accuracy``, whether scores are accuracies, which are shown in percent; and
    ``max_score``, the score that no network exceeds, or None if there is no such bound. See
    `label_of`, `is_accuracy_of` and `max_score_of`.
    """

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the estimates depend on, apart from the network and the seed."""
        ...

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """Evaluate one network; the same seed gives the same estimate on the same machine.

        Raises:
            EstimateError: If the network cannot be evaluated.
        """
        ...


@runtime_checkable
class StagedEstimator(Estimator, Protocol):
    """Evaluates networks in stages (fidelities), so that poor ones can be stopped early.

    Attributes:
        stages: Number of stages.
    """

    stages: int

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """Yield an estimate after every stage; the last one equals that of `estimate`.

        Raises:
            EstimateError: If the network cannot be evaluated.
        """
        ...


@runtime_checkable
class PreparedEstimator(Estimator, Protocol):
    """Has work to do once, before the first network, such as reading the images."""

    def prepare(self, step: Step | None = None) -> list[str]:
        """Do the work.

        Args:
            step: Called with the number of steps done and their total number.

        Returns:
            Remarks for the user, one line each.

        Raises:
            MixnasError: If the estimator cannot be used.
        """
        ...


@runtime_checkable
class PortableEstimator(Estimator, Protocol):
    """Depends on state that other machines lack and that can be copied to them."""

    def export_state(self) -> bytes:
        """Return the state of this machine."""
        ...

    def import_state(self, state: bytes) -> None:
        """Store the state of another machine on this one."""
        ...


def max_score_of(estimator: Estimator) -> float | None:
    """Return the score that no network exceeds, None if there is none; 1 by default."""
    max_score: float | None = getattr(estimator, "max_score", 1.0)
    return max_score


def label_of(estimator: Estimator) -> str:
    """Return the name of an estimator's scores in tables and figures."""
    return str(getattr(estimator, "label", "validation accuracy"))


def is_accuracy_of(estimator: Estimator) -> bool:
    """Return whether an estimator's scores are accuracies, which are shown in percent.

    An estimator says so with an attribute ``is_accuracy``. Without it, scores are accuracies unless
    they have a name of their own (``label``) or may exceed 1 (``max_score``).
    """
    unnamed = not hasattr(estimator, "label") and max_score_of(estimator) == 1
    return bool(getattr(estimator, "is_accuracy", unnamed))


def side_of(estimator: Estimator) -> int | None:
    """Return the side of the images that scores rest on, in pixels; None if it is not known.

    It is the attribute ``resolution`` of an estimator, if it has one.
    """
    side: int | None = getattr(estimator, "resolution", None)
    return side


def device_of(estimator: Estimator) -> str:
    """Return the device that an estimator computes on, as torch names it; the CPU by default.

    An estimator that computes elsewhere has an attribute ``placement`` with a name ``on``, so that
    nobody measures latency there meanwhile.
    """
    return str(getattr(getattr(estimator, "placement", None), "on", "cpu"))


def evaluates_timm(estimator: Estimator) -> bool:
    """Return whether an estimator takes networks of timm in place of specs; usually not.

    One that does has an attribute ``evaluates_timm``, which is true.
    """
    return bool(getattr(estimator, "evaluates_timm", False))


def in_stages(estimator: Estimator, network: AnyNetwork, seed: int) -> Iterator[Estimate]:
    """Yield the estimates of any estimator; one without stages yields one.

    Raises:
        EstimateError: If the network cannot be evaluated.
    """
    if isinstance(network, TimmNetwork) and not evaluates_timm(estimator):
        raise EstimateError(
            f"{network.name} has no spec, which this estimator of accuracy needs; short training "
            "does without"
        )
    taken: Any = network
    if isinstance(estimator, StagedEstimator):
        yield from estimator.estimates(taken, seed)
    else:
        yield estimator.estimate(taken, seed)


def number_of_stages(estimator: Estimator) -> int:
    """Return how many estimates `in_stages` yields."""
    return estimator.stages if isinstance(estimator, StagedEstimator) else 1
