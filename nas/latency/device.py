"""A device: lowers networks to its fastest form and measures them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from nas.errors import MixnasError
from nas.latency.conditions import Conditions, Latency, MeasurementSettings, utc_now
from nas.latency.profile import DeviceProfile, Finding, load_profile
from nas.latency.protocol import Effort, Timing, remarks, time_in_turns
from nas.latency.runtimes import Program, Runtime, TimedRun, open_runtime
from nas.latency.tuning import tune
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, FormChoice, lower
from nas.machine import MachineLoad, machine_for, pinned
from nas.progress import Step
from nas.spec import NetworkSpec, load_network

REFERENCE = "mobilenet_v2"
_REFERENCE_SECONDS = 1.5


class Device(Protocol):
    """Something that measures networks, one at a time.

    Attributes:
        name: as given on the command line.
        local: whether it is this machine, where trainings would disturb it.
    """

    name: str
    local: bool

    @property
    def conditions(self) -> Conditions:
        """What two measurements must share to be compared."""
        ...

    def prepare(self, step: Step | None = None) -> None:
        """Learn what a first measurement needs to know; quick when it is known already."""
        ...

    @property
    def profile(self) -> DeviceProfile:
        """What is known about the device."""
        ...

    def form_choice(self) -> FormChoice:
        """Return what chooses the forms of lowered networks."""
        ...

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """Measure one network at its input resolution.

        Raises:
            UnrunnableError: when the device cannot run it.
            MixnasError: when the device is not there.
        """
        ...


def program_of(spec: NetworkSpec, choice: FormChoice | None) -> Program:
    """Return a network with weights as after training: lowered by `choice`, or as it is if None."""
    tree, shape = spec.tree(), spec.in_shape
    weights = realistic_weights(tree)
    if choice is None:
        return Program(tree, shape, weights)
    lowered, lowered_weights = lower(tree, shape, weights, choice)
    return Program(lowered, shape, lowered_weights)


class LocalDevice:
    """A runtime on this machine."""

    local = True

    def __init__(self, name: str, settings: MeasurementSettings) -> None:
        """Open a runtime by name.

        Raises:
            MixnasError: when it is not there, or cannot do what is asked.
        """
        self.name = name
        self.settings = settings
        self.runtime: Runtime = open_runtime(name, settings)
        self._reference: TimedRun | None = None
        self._profile: DeviceProfile | None = None

    @cached_property
    def conditions(self) -> Conditions:
        """See `Device`."""
        return Conditions(
            device=self.name,
            runtime=self.runtime.version,
            machine=self.runtime.machine,
            threads=self.runtime.threads,
            batch=self.settings.batch,
            precision=self.settings.precision,
            lowered=self.settings.lowered,
        )

    # -- what is known about the device ------------------------------------------------------

    def prepare(self, step: Step | None = None) -> None:
        """Load the device's profile, or make it: some seconds, once for every set of conditions."""
        if self._profile is None:
            self._profile = load_profile(self.conditions)
        if self._profile is None:
            with self._measuring():
                # Another process may have found it out while this one waited.
                self._profile = load_profile(self.conditions) or self._examine(step)

    def examine(self, step: Step | None = None) -> DeviceProfile:
        """Make the device's profile anew, and keep it in place of the old one."""
        with self._measuring():
            self._profile = self._examine(step)
        return self._profile

    @property
    def profile(self) -> DeviceProfile:
        """What is known about the device under these conditions."""
        self.prepare()
        assert self._profile is not None
        return self._profile

    def _examine(self, step: Step | None) -> DeviceProfile:
        usual = self._usual_reference_ms()
        findings: list[Finding] = []
        if self.settings.lowered and self.runtime.tunable:
            findings = tune(self.runtime, step)
            # A machine is disturbed for a while and then is not; the undisturbed speed is its own.
            usual = min(usual, self._usual_reference_ms())
        profile = DeviceProfile(self.conditions, round(usual, 4), tuple(findings))
        profile.save()
        return profile

    def _usual_reference_ms(self) -> float:
        """Time the reference as measurements do: in turns with another network, here its like."""
        effort = Effort(seconds=_REFERENCE_SECONDS, precision=0.0, warm_seconds=_REFERENCE_SECONDS)
        timing = time_in_turns(self._load_reference(), self.reference(), effort)
        return float(np.percentile([np.median(times) for times in timing.reference], 25))

    def reference(self) -> TimedRun:
        """Return the reference network, ready to run; its form depends on no profile."""
        if self._reference is None:
            self._reference = self._load_reference()
        return self._reference

    def _load_reference(self) -> TimedRun:
        choice = MERGE_ALL if self.settings.lowered else None
        return self.runtime.load(program_of(load_network(REFERENCE), choice))

    def form_choice(self) -> FormChoice:
        """See `Device`."""
        return self.profile if self.settings.lowered else MERGE_ALL

    # -- measuring --------------------------------------------------------------------------

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        alone = self.runtime.places_threads
        with machine_for("measuring"), pinned(self.runtime.threads, alone):
            yield

    def program(self, spec: NetworkSpec) -> Program:
        """Return a network as it would be measured, with weights as after training."""
        return program_of(spec, self.form_choice() if self.settings.lowered else None)

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`."""
        program = self.program(spec)
        return self.time(lambda: self.runtime.load(program), spec.input.resolution, effort)

    def time(self, load: Callable[[], TimedRun], resolution: int, effort: Effort | None) -> Latency:
        """Measure what `load` makes ready, with the machine to itself."""
        profile = self.profile
        with self._measuring():
            run, reference = load(), self.reference()
            watch = MachineLoad()
            timing = time_in_turns(run, reference, effort or Effort())
            noise = [*remarks(timing, profile.reference_ms), *watch.remarks()]
        return self._latency(timing, noise, resolution)

    def _latency(self, timing: Timing, noise: list[str], resolution: int) -> Latency:
        p10, median, p90 = timing.percentiles()
        low, high = timing.interval()
        figures: dict[str, Any] = {
            "median_ms": median,
            "p10_ms": p10,
            "p90_ms": p90,
            "low_ms": low,
            "high_ms": high,
            "steady_ms": timing.ratio * self.profile.reference_ms,
            "reference_ms": timing.reference_ms,
        }
        return Latency(
            **dataclasses.asdict(self.conditions),
            **{name: round(value, 4) for name, value in figures.items()},
            n=timing.n,
            noise=tuple(noise),
            resolution=resolution,
            source="measured",
            when=utc_now(),
        )


def measure_quietly(
    device: Device, spec: NetworkSpec, attempts: int = 3, effort: Effort | None = None
) -> Latency:
    """Measure until the machine is quiet meanwhile, at most some times; return the least noisy.

    Raises:
        MixnasError: when the device cannot run the network.
    """
    best = device.measure(spec, effort)
    for _ in range(attempts - 1):
        if not best.noise:
            break
        latency = device.measure(spec, effort)
        best = latency if quieter(latency, best) else best
    return best


def quieter(one: Latency, other: Latency) -> bool:
    """Tell whether the machine was quieter during one measurement than during another."""
    return (len(one.noise), one.reference_ms) < (len(other.noise), other.reference_ms)


def refuse_noise(latency: Latency, name: str) -> None:
    """Refuse a latency that was measured on a noisy machine.

    Raises:
        MixnasError: saying what disturbed it.
    """
    if latency.noise:
        raise MixnasError(
            f"{name} was not measured on a quiet machine: {'; '.join(latency.noise)}. Stop what "
            "disturbs it, or leave --strict out to take the figure with its flag"
        )
