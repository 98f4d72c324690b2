"""A device that needs no clock, to make predictors with."""

import dataclasses

import numpy as np

from nas.latency.conditions import Conditions
from nas.latency.prediction.observations import Observation
from nas.latency.prediction.predictor import Predictor, network_features
from nas.latency.profile import DeviceProfile
from nas.lowering import MERGE_ALL
from nas.space import load_space
from nas.testing.fakes import exact_latency

CONDITIONS = Conditions(
    device="board:cpu",
    runtime="runtime 1",
    machine="board",
    threads=2,
    batch=1,
    precision="fp32",
    lowered=True,
)
SPACE = load_space("mixnet")


class Board:
    """A device whose latency is a known function of the work, with some noise."""

    name = "board:cpu"

    def __init__(self, noise=0.01, **changes):
        self.conditions = dataclasses.replace(CONDITIONS, **changes)
        self.rng = np.random.default_rng(0)
        self.noise = noise
        self.measured = 0

    def prepare(self, step=None):
        pass

    def form_choice(self):
        return MERGE_ALL

    @property
    def profile(self):
        return DeviceProfile(self.conditions, 1.0)

    def milliseconds(self, spec):
        work = network_features(spec, MERGE_ALL, self.conditions)
        compute = 2e-8 * work["pointwise madds"] + 4e-6 * work.get("swish elements", 0)
        kernels = 1e-8 * work["depthwise taps"]
        memory = 3e-7 * work["elements"]
        return 0.3 + compute + kernels + memory + 0.01 * work["layers"] + (compute * memory) ** 0.5

    def measure(self, spec, effort=None):
        self.measured += 1
        ms = self.milliseconds(spec) * (1 + self.noise * self.rng.standard_normal())
        return exact_latency(self.conditions, spec, ms)


def predictor_of(rows, latencies, conditions=CONDITIONS):
    """Return a predictor that learned from networks of one form each."""
    pairs = zip(rows, latencies, strict=True)
    return Predictor(
        conditions=conditions,
        space="mixnet",
        space_digest="",
        profile_digest="",
        observations=tuple(
            Observation(float(ms), 1.0, "", {"": row}, {"": 1.0}) for row, ms in pairs
        ),
    )
