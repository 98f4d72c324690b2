"""Stand-ins for what takes long: an estimator and a device that answer at once."""

from __future__ import annotations

import os
import random
import signal
import time

from nas.accuracy import Estimate, EstimateError
from nas.cache import cache_folder
from nas.cost import count
from nas.errors import MixnasError
from nas.latency import Conditions, Latency
from nas.latency.profile import DeviceProfile
from nas.lowering import MERGE_ALL

CONDITIONS = Conditions("tests.fakes:InstantDevice", "none 1", "none", 1, 1, "fp32", True)


class Instant:
    """An estimator whose accuracy follows from the network at once."""

    def __init__(self, data="digits"):
        self.data = data

    def fingerprint(self):
        return {"estimator": type(self).__name__}

    def estimate(self, spec, seed):
        cost = count(spec)
        noise = random.Random(f"{spec.digest()}/{seed}").gauss(0, 0.003)
        return Estimate(0.95 - 0.2 * (1e6 / cost.madds) ** 0.5 + noise, 0.1, 0.0, seed)


class Slow(Instant):
    """Takes a twentieth of a second."""

    def estimate(self, spec, seed):
        time.sleep(0.05)
        return super().estimate(spec, seed)


class Sluggish(Instant):
    """Takes some seconds."""

    def estimate(self, spec, seed):
        time.sleep(8)
        return super().estimate(spec, seed)


class Moody(Instant):
    """Diverges, dies or hangs for some networks; which follows from the network."""

    def estimate(self, spec, seed):
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

    def estimate(self, spec, seed):
        raise EstimateError("the data cannot be learned")


class Laden(Instant):
    """Judges nothing on a machine where its luggage was not unpacked."""

    @property
    def file(self):
        return cache_folder() / "luggage"

    def luggage(self):
        return b"weights"

    def unpack(self, luggage):
        self.file.write_bytes(luggage)

    def estimate(self, spec, seed):
        if not self.file.is_file():
            raise EstimateError("the luggage is lost")
        return super().estimate(spec, seed)


class Staged(Instant):
    """Has three stages; the accuracy of a network is known from the first."""

    stages = 3

    def estimates(self, spec, seed):
        final = super().estimate(spec, seed)
        for stage in (1, 2, 3):
            yield Estimate(final.accuracy * stage / 3, 0.1, 0.0, seed)

    def estimate(self, spec, seed):
        *_, last = self.estimates(spec, seed)
        return last


class InstantDevice:
    """A device whose latency follows from the multiply-adds."""

    name = CONDITIONS.device
    local = True
    conditions = CONDITIONS

    def __init__(self, settings=None):
        self.settings = settings

    def prepare(self, step=None):
        pass

    @property
    def profile(self):
        return DeviceProfile(self.conditions, 1.0, ())

    def choice(self):
        return MERGE_ALL

    def measure(self, spec, effort=None):
        ms = round(0.1 + count(spec).madds / 1e8, 4)
        return Latency(
            **vars(self.conditions), median_ms=ms, p10_ms=ms, p90_ms=ms, low_ms=ms, high_ms=ms, n=3,
            steady_ms=ms, reference_ms=1.0, noise=(), resolution=spec.input.resolution,
            source="measured", when="2026-01-01T00:00:00Z",
        )  # fmt: skip


class BrokenDevice(InstantDevice):
    """A device that is gone when it is needed."""

    def prepare(self, step=None):
        raise MixnasError("the board is gone")
