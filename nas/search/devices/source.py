"""One device of a search: where the latencies on it come from, and which networks it admits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.errors import OutOfRangeError
from nas.latency import Device, Latency, measure_quietly
from nas.latency.prediction.predictor import Predictor
from nas.latency.protocol import Effort
from nas.limits import Limit
from nas.spec import NetworkSpec
from nas.study import SearchStudy
from nas.study.latencies import facts_about

ATTEMPTS = 2  # at measuring a latency while the machine is noisy
EFFORT = Effort(seconds=1.2)
"""Effort of measuring a trial, since networks differ by far more than such a latency is uncertain
by. References, of which there are few, are measured for as long as `nas.measure` does."""


@dataclass(frozen=True)
class SearchDevice:
    """A device of a search.

    Attributes:
        name: Name of the device, as the configuration gives it.
        device: Measures latency.
        limits: Limits on latency that networks for this device keep.
        predictor: Predictor that takes the device's place; None to measure.
    """

    name: str
    device: Device
    limits: Sequence[Limit] = ()
    predictor: Predictor | None = None

    @property
    def needs_quiet(self) -> bool:
        """Whether latency is measured on this machine, which must not train at the same time."""
        return self.predictor is None and self.device.local

    def latency(self, spec: NetworkSpec) -> Latency:
        """Return a network's latency: predicted, or measured where the predictor knows too little.

        Raises:
            UnrunnableError: If the device cannot run the network.
        """
        if self.predictor is not None:
            try:
                return self.predictor.predict(spec, self.device.form_choice())
            except OutOfRangeError:  # the table's latency_source tells
                pass
        return measure_quietly(self.device, spec, ATTEMPTS, EFFORT)

    def broken(self, latency: Latency) -> Limit | None:
        """Return the first limit that a latency surely breaks; None if it may keep all of them."""
        return next((limit for limit in self.limits if surely_broken(limit, latency)), None)


def check_conditions(study: SearchStudy, devices: Sequence[SearchDevice]) -> None:
    """Record what the latencies on the devices rest on, or compare it with what the study records.

    Raises:
        MixnasError: If it has changed, so that old and new latencies are not comparable.
    """
    names = [each.name for each in devices]
    for each in devices:
        # The profile holds the machine's usual speed, which scales latencies.
        profile = {"profile": each.device.profile.digest()}
        facts = {**each.device.conditions.identity(), **profile}
        study.check_facts(facts_about(each.name, names), facts)


def surely_broken(limit: Limit, latency: Latency) -> bool:
    """Return whether a latency breaks a limit; a predicted one, throughout its error bar."""
    if latency.source == "measured":
        return limit.violation(latency.steady_ms) > 0
    return min(limit.violation(latency.low_ms), limit.violation(latency.high_ms)) > 0
