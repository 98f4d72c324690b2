"""Stand-ins for what takes long: estimators and a device that answer at once."""

from __future__ import annotations

import os
import random
import signal
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

CONDITIONS = Conditions("nas.testing.fakes:InstantDevice", "none 1", "none", 1, 1, "fp32", True)


class Instant:
    """An estimator whose accuracy follows from the network at once."""

    def __init__(self, data: str = "digits") -> None:
        """Take the data set's name, which changes nothing."""
        self.data = data

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {"estimator": type(self).__name__}

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        cost = count(spec)
        noise = random.Random(f"{spec.digest()}/{seed}").gauss(0, 0.003)
        return Estimate(0.95 - 0.2 * (1e6 / cost.madds) ** 0.5 + noise, 0.1, 0.0, seed)


class Slow(Instant):
    """Takes a twentieth of a second."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        time.sleep(0.05)
        return super().estimate(spec, seed)


class Sluggish(Instant):
    """Takes some seconds."""

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        time.sleep(8)
        return super().estimate(spec, seed)


class Moody(Instant):
    """Diverges, dies or hangs for some networks; which follows from the network."""

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


class Portable(Instant):
    """Judges nothing on a machine where its luggage was not unpacked."""

    @property
    def file(self) -> Path:
        """Where the luggage is unpacked."""
        return cache_folder() / "luggage"

    def state(self) -> bytes:
        """See `PortableEstimator`."""
        return b"weights"

    def unpack(self, state: bytes) -> None:
        """See `PortableEstimator`."""
        self.file.write_bytes(state)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        if not self.file.is_file():
            raise EstimateError("the luggage is lost")
        return super().estimate(spec, seed)


class Staged(Instant):
    """Has three stages; the accuracy of a network is known from the first."""

    stages = 3

    def estimates(self, spec: NetworkSpec, seed: int) -> Iterator[Estimate]:
        """See `StagedEstimator.estimates`."""
        final = super().estimate(spec, seed)
        assert final.accuracy is not None
        for stage in (1, 2, 3):
            yield Estimate(final.accuracy * stage / 3, 0.1, 0.0, seed)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        *_, last = self.estimates(spec, seed)
        return last


class InstantDevice:
    """A device whose latency follows from the multiply-adds."""

    name = CONDITIONS.device
    local = True
    conditions = CONDITIONS

    def __init__(self, settings: MeasurementSettings | None = None) -> None:
        """Take the settings, which change nothing."""
        self.settings = settings

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
        ms = round(0.1 + count(spec).madds / 1e8, 4)
        return Latency(
            **vars(self.conditions), median_ms=ms, p10_ms=ms, p90_ms=ms, low_ms=ms, high_ms=ms, n=3,
            steady_ms=ms, reference_ms=1.0, noise=(), resolution=spec.input.resolution,
            source="measured", when="2026-01-01T00:00:00Z",
        )  # fmt: skip


class BrokenDevice(InstantDevice):
    """A device that is gone when it is needed."""

    def prepare(self, step: Step | None = None) -> None:
        """Refuse."""
        raise MixnasError("the board is gone")
