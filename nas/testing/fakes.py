"""Fakes of slow components: estimators and devices that answer at once, or fail as told."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.accuracy import Estimate, EstimateError
from nas.cost import count
from nas.errors import MixnasError
from nas.files import cache_folder
from nas.latency import Conditions, Latency, MeasurementSettings
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.lowering import MERGE_ALL, FormChoice
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.units import GIBIBYTE

CONDITIONS = Conditions(
    device="nas.testing.fakes:InstantDevice",
    runtime="none 1",
    machine="none",
    threads=1,
    batch=1,
    precision="fp32",
    lowered=True,
)
"""The conditions of latencies that are not measured."""


class Instant:
    """An estimator whose accuracy follows from the network at once."""

    def __init__(self, data: str = "digits") -> None:
        """Take the name of the data set, which makes no difference."""
        self.data = data

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {"estimator": type(self).__name__}

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        noise = random.Random(f"{spec.digest()}/{seed}").gauss(0, 0.003)
        accuracy = 0.95 - 0.2 * (1e6 / count(spec).madds) ** 0.5 + noise
        return Estimate(accuracy=accuracy, loss=0.1, seconds=0.0, seed=seed)


class Slow(Instant):
    """Takes a twentieth of a second per network."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        time.sleep(0.05)
        return super().estimate(spec, seed)


class Patient(Instant):
    """Takes two seconds per network."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        time.sleep(2)
        return super().estimate(spec, seed)


class Sluggish(Instant):
    """Takes eight seconds per network."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        time.sleep(8)
        return super().estimate(spec, seed)


class Moody(Instant):
    """Diverges, dies or hangs for some networks; which ones follows from the network."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        mood = int(spec.digest(), 16) % 6
        if mood == 0:
            raise EstimateError("the training loss is nan in epoch 1")
        if mood == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == 2:
            time.sleep(3600)
        return super().estimate(spec, seed)


class Hopeless(Instant):
    """Fails for all networks."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        raise EstimateError("the data cannot be learned")


class Scripted(Instant):
    """Does what the seed says; the accuracy of any other seed is a hundredth of it.

    11, 12 and 666 end the process, 13, 14 and 17 raise, 15 hangs, 16 and 19 give impossible
    accuracies, 18 takes a gibibyte of memory and hangs.
    """

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        if seed in (11, 12, 666):
            self._die(seed)
        errors: dict[int, Exception] = {
            13: EstimateError("the training loss is nan in epoch 1"),
            14: RuntimeError("a bug"),
            17: MemoryError(),
        }
        if seed in errors:
            raise errors[seed]
        taken = bytearray(GIBIBYTE if seed == 18 else 0)
        if seed in (15, 18):
            time.sleep(3600)
        accuracy = {16: float("nan"), 19: 94.3}.get(seed, seed / 100) + len(taken)
        return Estimate(accuracy=accuracy, loss=0.0, seconds=0.0, seed=seed)

    @staticmethod
    def _die(seed: int) -> None:
        if seed == 12:
            sys.exit(7)
        os.kill(os.getpid(), signal.SIGSEGV if seed == 11 else signal.SIGKILL)


class Portable(Instant):
    """Fails on a machine to which its state was not copied."""

    @property
    def file(self) -> Path:
        """Where the state is kept on a machine."""
        return cache_folder() / "state"

    def export_state(self) -> bytes:
        """See `PortableEstimator`."""
        return b"weights"

    def import_state(self, state: bytes) -> None:
        """See `PortableEstimator`."""
        self.file.write_bytes(state)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        if not self.file.is_file():
            raise EstimateError("the state was lost")
        return super().estimate(spec, seed)


class Staged(Instant):
    """Has three stages; the first one already tells the accuracy of a network."""

    stages = 3

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """See `StagedEstimator.estimates`."""
        final = super().estimate(spec, seed)
        assert final.accuracy is not None
        for stage in (1, 2, 3):
            accuracy = final.accuracy * stage / 3
            yield Estimate(accuracy=accuracy, loss=0.1, seconds=0.0, seed=seed)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        *_, last = self.estimates(spec, seed)
        return last


def exact_latency(conditions: Conditions, spec: NetworkSpec, milliseconds: float) -> Latency:
    """Return a latency without any spread, as measured on a quiet machine."""
    return Latency(
        **vars(conditions),
        median_ms=milliseconds,
        p10_ms=milliseconds,
        p90_ms=milliseconds,
        low_ms=milliseconds,
        high_ms=milliseconds,
        n=3,
        steady_ms=milliseconds,
        reference_ms=1.0,
        noise=(),
        resolution=spec.input.resolution,
        source="measured",
        when="2026-01-01T00:00:00Z",
    )


class InstantDevice:
    """A device whose latency follows from the multiply-adds at once."""

    name = CONDITIONS.device
    local = True
    conditions = CONDITIONS

    def __init__(self, settings: MeasurementSettings | None = None) -> None:
        """Take the settings, which are told as conditions, and make no difference."""
        self.settings = settings
        if settings is not None:
            self.conditions = dataclasses.replace(
                CONDITIONS,
                threads=settings.threads or CONDITIONS.threads,
                batch=settings.batch,
                interval_ms=settings.interval_ms,
                precision=settings.precision,
            )

    def prepare(self, step: Step | None = None) -> None:
        """See `Device`; there is nothing to prepare."""

    @property
    def profile(self) -> DeviceProfile:
        """See `Device`."""
        return DeviceProfile(self.conditions, 1.0, ())

    def form_choice(self) -> FormChoice:
        """See `Device`."""
        return MERGE_ALL

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`."""
        return exact_latency(self.conditions, spec, round(0.1 + count(spec).madds / 1e8, 4))


class SecondDevice(InstantDevice):
    """A device whose latency follows from the activations: it ranks networks its own way."""

    name = "nas.testing.fakes:SecondDevice"
    conditions = dataclasses.replace(CONDITIONS, device=name)

    def __init__(self, settings: MeasurementSettings | None = None) -> None:
        """Take the settings, as `InstantDevice` does."""
        super().__init__(settings)
        self.conditions = dataclasses.replace(self.conditions, device=self.name)

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`."""
        milliseconds = round(0.2 + count(spec).activations / 1e5, 4)
        return exact_latency(self.conditions, spec, milliseconds)


class BrokenDevice(InstantDevice):
    """A device that is no longer available when it is needed."""

    def prepare(self, step: Step | None = None) -> None:
        """Refuse."""
        raise MixnasError("the board is gone")
