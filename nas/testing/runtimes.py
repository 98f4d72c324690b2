"""The contract of latency runtimes, as pytest tests to subclass."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
import pytest

from nas.blocks import MBConv
from nas.errors import MixnasError
from nas.latency.deployment import program_of
from nas.latency.runtimes import Runtime
from nas.latency.runtimes.base import noise
from nas.latency.runtimes.models import serialized
from nas.lowering import MERGE_ALL
from nas.spec import Head, Input, NetworkSpec, Stem

NETWORK = NetworkSpec(
    input=Input(resolution=32),
    stem=Stem(channels=8),
    stages=(
        (
            MBConv(channels=16, stride=2, kernels=(3, 5), expansion=3, se_ratio=0.25),
            MBConv(channels=16, kernels=(3, 5, 7), expansion=3, activation="swish"),
        ),
    ),
    head=Head(channels=32),
    num_classes=10,
    name="contract",
)
"""A small network with a mixed convolution, squeeze-and-excitation and a skip connection."""


class RuntimeContract:
    """Tests of a runtime; a subclass implements `runtime`."""

    @abstractmethod
    def runtime(self, threads: int | None, batch: int) -> Runtime:
        """Return the runtime with a number of threads (None: all usable cores) and a batch size."""

    def test_it_says_what_it_is(self) -> None:
        """Conditions of latencies are made of these; they identify what was measured."""
        runtime = self.runtime(1, 1)
        assert runtime.name
        assert runtime.version
        assert runtime.machine
        assert runtime.threads == 1
        assert self.runtime(None, 1).threads >= 1
        assert isinstance(runtime.pins_threads, bool)
        assert isinstance(runtime.tunable, bool)

    def test_it_runs_networks_as_trained_and_lowered(self) -> None:
        """One run returns its milliseconds, again and again."""
        runtime = self.runtime(1, 1)
        for choice in (None, MERGE_ALL):
            run = runtime.load(program_of(NETWORK, choice))
            times = [run() for _ in range(3)]
            assert all(math.isfinite(time) and time > 0 for time in times)

    def test_several_programs_are_loaded_at_the_same_time(self) -> None:
        """Measurements take turns between a network and a reference network."""
        runtime = self.runtime(1, 1)
        runs = [runtime.load(program_of(NETWORK, choice)) for choice in (None, MERGE_ALL)]
        assert all(run() > 0 for _ in range(2) for run in runs)

    def test_outputs_are_those_of_every_image(self) -> None:
        """One row for each image, which does not depend on the others or on the form."""
        runtime = self.runtime(1, 1)
        program = program_of(NETWORK, None)
        images = noise(3, program.shape)
        outputs = runtime.outputs(program, images)
        assert outputs.shape == (3, NETWORK.num_classes)
        lowered = runtime.outputs(program_of(NETWORK, MERGE_ALL), images[1:2])
        assert np.abs(lowered[0] - outputs[1]).max() < 1e-4 * np.abs(outputs).max()
        assert np.abs(outputs[0] - outputs[1]).max() > 1e-2 * np.abs(outputs).max()

    def test_models_in_its_format_run_wherever_they_come_from(self) -> None:
        """An agent is sent models; what is none is refused, as by runtimes that take none."""
        runtime = self.runtime(1, 1)
        if runtime.model_format is not None:
            model = serialized(program_of(NETWORK, MERGE_ALL), runtime.model_format, "fp32", 1)
            run = runtime.load_model(model)
            assert run() > 0
        with pytest.raises(MixnasError):
            runtime.load_model(b"this is not a model")

    def test_it_runs_batches(self) -> None:
        """The batch size is a condition that the runtime keeps."""
        run = self.runtime(1, 3).load(program_of(NETWORK, MERGE_ALL))
        assert run() > 0
