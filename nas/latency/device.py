"""Devices: the interface, and the device on this machine.

A device lowers networks to the forms that are fastest on it and measures them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nas.errors import UnrunnableError
from nas.latency.conditions import Conditions, Latency, MeasurementSettings, utc_now
from nas.latency.deployment import (
    TRAINED,
    ChosenForm,
    NetworkForm,
    fastest_form,
    network_forms,
    program_of,
)
from nas.latency.parity import check_outputs, sources_digest, tolerance
from nas.latency.profile import (
    DeviceProfile,
    Finding,
    checked_with,
    load_profile,
    note_check,
)
from nas.latency.protocol import Effort, Timing, remarks, time_in_turns
from nas.latency.runtimes import Runtime, TimedRun, open_runtime
from nas.latency.runtimes.base import ProfilingRuntime
from nas.latency.timm_networks import check_runtime, timm_loader
from nas.latency.tuning import depthwise_curve, tune
from nas.lowering import MERGE_ALL, FormChoice
from nas.machine import MachineLoad, machine_for, pinned, thread_remarks
from nas.named import AnyNetwork, TimmNetwork
from nas.progress import Step
from nas.spec import NetworkSpec, load_network

REFERENCE = "mobilenet_v2"
_REFERENCE_SECONDS = 1.5
GPU_PROCESSORS = ("cuda", "tensorrt")
"""Processors of runtimes, or providers of ONNX Runtime, that compute on the first GPU."""


class Device(Protocol):
    """Measures networks, one at a time.

    Attributes:
        name: Name of the device, as given on the command line.
        local: Whether the device is this machine, where training would disturb it.
    """

    name: str
    local: bool

    @property
    def conditions(self) -> Conditions:
        """The conditions that two measurements must share to be comparable."""
        ...

    def prepare(self, step: Step | None = None) -> None:
        """Make sure that the device has a profile; quick if it already has one.

        Args:
            step: Progress callback.
        """
        ...

    @property
    def profile(self) -> DeviceProfile:
        """The device's profile."""
        ...

    def form_choice(self) -> FormChoice:
        """Return the rule that chooses the forms of lowered layers."""
        ...

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """Measure one network at its input resolution.

        Args:
            spec: The network.
            effort: Time limit and target precision; None for the defaults.

        Raises:
            UnrunnableError: If the device cannot run the network.
            MixnasError: If the device is not available.
        """
        ...


@runtime_checkable
class TimmDevice(Device, Protocol):
    """A device that measures timm's networks, too."""

    def check_timm(self, network: TimmNetwork) -> None:
        """Refuse, before anything takes long, a network that the device cannot measure.

        Raises:
            UnrunnableError: If the device does not run networks of timm.
        """
        ...

    def measure_timm(self, network: TimmNetwork, effort: Effort | None = None) -> Latency:
        """Measure one of timm's networks as it is; see `Device.measure`."""
        ...


@runtime_checkable
class ProfilingDevice(Protocol):
    """A device that may tell what the time of a network consists of."""

    def operator_ms(self, spec: NetworkSpec) -> dict[str, float]:
        """Return the milliseconds of each kind of operator of a network, the longest first.

        See `Device.measure`; there are none if the runtime has no profiler.
        """
        ...


def check_measurable(device: Device, network: AnyNetwork) -> None:
    """Refuse, before anything takes long, a network that a device cannot measure.

    Raises:
        UnrunnableError: If the network is one of timm's, and the device does not run these.
    """
    if isinstance(network, TimmNetwork):
        timm_device(device, network).check_timm(network)


def timm_device(device: Device, network: TimmNetwork) -> TimmDevice:
    """Return a device as one that measures timm's networks.

    Raises:
        UnrunnableError: If it measures none.
    """
    if not isinstance(device, TimmDevice):
        raise UnrunnableError(
            f"device '{device.name}' measures networks that have a spec, and {network.name} has "
            "none; measure it on this machine: onnxruntime:cpu, openvino:cpu or torch:cpu"
        )
    return device


class LocalDevice:
    """A runtime on this machine."""

    local = True

    def __init__(self, name: str, settings: MeasurementSettings) -> None:
        """Open a runtime by name.

        Args:
            name: Name of the runtime: ``onnxruntime:cpu``.
            settings: Settings of the measurements.

        Raises:
            MixnasError: If the runtime does not exist or does not support the settings.
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
            interval_ms=self.settings.interval_ms,
        )

    # -- profile -----------------------------------------------------------------------------

    def prepare(self, step: Step | None = None) -> None:
        """Load the device's profile, or create it.

        Creating a profile takes half a minute or more, once for each set of conditions. It begins
        with a check of what the runtime computes (see `nas.latency.parity`).

        Raises:
            MixnasError: If the runtime's outputs are not those that networks define.
        """
        if self._profile is None:
            self._profile = self._saved_profile()
        if self._profile is None:
            with self._measuring():
                # Another process may have created it while this one waited for the machine.
                self._profile = load_profile(self.conditions) or self._examine(step)

    def _saved_profile(self) -> DeviceProfile | None:
        """Return the saved profile, after another check if networks are written differently now."""
        profile = load_profile(self.conditions)
        if profile is None or checked_with(self.conditions) == sources_digest():
            return profile
        with self._measuring():
            if checked_with(self.conditions) != sources_digest():  # nobody else has meanwhile
                self._check_outputs()
        return load_profile(self.conditions)

    def _check_outputs(self) -> None:
        processor = self.name.partition(":")[2]
        check_outputs(self.runtime, tolerance(self.settings.precision, processor))
        note_check(self.conditions, sources_digest())

    def examine(self, step: Step | None = None) -> DeviceProfile:
        """Create the device's profile again and replace the saved one."""
        with self._measuring():
            self._profile = self._examine(step)
        return self._profile

    @property
    def profile(self) -> DeviceProfile:
        """The device's profile under these conditions."""
        self.prepare()
        assert self._profile is not None
        return self._profile

    def _examine(self, step: Step | None) -> DeviceProfile:
        self._check_outputs()
        reference_ms = self._usual_reference_ms()
        findings: list[Finding] = []
        curve: dict[int, float] = {}
        if self.settings.lowered and self.runtime.tunable:
            findings = tune(self.runtime, step)
            curve = depthwise_curve(self.runtime)
            # A disturbance may have passed by now, and the undisturbed time is the usual one.
            reference_ms = min(reference_ms, self._usual_reference_ms())
        profile = DeviceProfile(
            conditions=self.conditions,
            reference_ms=round(reference_ms, 4),
            findings=tuple(findings),
            depthwise_ms=curve,
        )
        profile.save()
        return profile

    def _usual_reference_ms(self) -> float:
        """Time the reference as measurements do, alternating with a second copy of itself."""
        effort = Effort(seconds=_REFERENCE_SECONDS, precision=0.0, warm_seconds=_REFERENCE_SECONDS)
        timing = self._time_in_turns(self._load_reference(), self.reference(), effort)
        return float(np.percentile([np.median(times) for times in timing.reference], 25))

    def _time_in_turns(self, run: TimedRun, reference: TimedRun, effort: Effort) -> Timing:
        return time_in_turns(run, reference, effort, self.settings.interval_ms)

    def reference(self) -> TimedRun:
        """Return the reference network, ready to run; its form does not depend on the profile."""
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
        alone = self.runtime.pins_threads
        processor = self.name.partition(":")[2]
        device = "cuda" if processor in GPU_PROCESSORS else "cpu"
        with machine_for("measuring", device), pinned(self.runtime.threads, alone):
            yield

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`. A lowered network is measured in the fastest of its forms."""
        if not self.settings.lowered:
            program = program_of(spec, None)
            return self.time(lambda: self.runtime.load(program), spec.input.resolution, effort)
        chosen: list[ChosenForm] = []

        def load() -> TimedRun:
            form, run = self._fastest_form(network_forms(spec, self.profile))
            chosen.append(form)
            return run

        latency = self.time(load, spec.input.resolution, effort)
        return latency.chosen_among(chosen[-1].form.name, chosen[-1].times_ms)

    def _fastest_form(self, forms: list[NetworkForm]) -> tuple[ChosenForm, TimedRun]:
        return fastest_form(forms, self.runtime.load, self.settings.interval_ms)

    def operator_ms(self, spec: NetworkSpec) -> dict[str, float]:
        """See `ProfilingDevice`."""
        if not isinstance(self.runtime, ProfilingRuntime):
            return {}
        trained = NetworkForm(TRAINED, program_of(spec, None))
        forms = network_forms(spec, self.profile) if self.settings.lowered else [trained]
        with self._measuring():
            best, _ = self._fastest_form(forms)
            return self.runtime.operator_ms(best.form.program)

    def check_timm(self, network: TimmNetwork) -> None:
        """See `TimmDevice`."""
        check_runtime(self.runtime, self.settings.precision, network.name)

    def measure_timm(self, network: TimmNetwork, effort: Effort | None = None) -> Latency:
        """See `TimmDevice`. There is one form of such a network: as trained."""
        load = timm_loader(self.runtime, network, self.settings.precision)
        latency = self.time(load, network.resolution, effort)
        form = TRAINED if self.settings.lowered else ""
        return dataclasses.replace(latency, form=form)

    def time(self, load: Callable[[], TimedRun], resolution: int, effort: Effort | None) -> Latency:
        """Measure any network, with exclusive use of the machine.

        Args:
            load: Makes the network ready to run.
            resolution: Side length of the network's images, in pixels.
            effort: Time limit and target precision; None for the defaults.
        """
        profile = self.profile
        too_many = thread_remarks(self.runtime.threads)  # before this thread is pinned to a core
        with self._measuring():
            run, reference = load(), self.reference()
            machine_load = MachineLoad()
            timing = self._time_in_turns(run, reference, effort or Effort())
            noise = [
                *remarks(timing, profile.reference_ms),
                *machine_load.remarks(),
                *too_many,
            ]
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
            "steady_ms": timing.steady_ms(self.profile.reference_ms),
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
