"""What the runtimes have in common that take models in a file format."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import numpy as np

from nas.errors import MixnasError, unknown
from nas.ir import Shape
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.latency.runtimes.models import serialized
from nas.machine import machine_name, usable_cores

PROCESSORS = ("cpu",)


class LoadedModel(Protocol):
    """A model that is ready to run on a fixed number of images.

    Attributes:
        shape: Shape of one image (C, H, W).
    """

    shape: Shape

    def feed(self, images: np.ndarray) -> None:
        """Set the images of the next runs: float32 (N, C, H, W)."""
        ...

    def run(self) -> None:
        """Run the model once on all images."""
        ...

    def outputs(self) -> np.ndarray:
        """Return the outputs of the last run, the images in the first dimension."""
        ...


class ModelRuntime(ABC):
    """Runs serialized models; a subclass loads them.

    Attributes:
        model_format: See `Runtime`.
        batch: Number of images per run.
        precision: ``fp32`` or ``int8``.
    """

    model_format: ClassVar[str]
    batch: int
    precision: str

    @abstractmethod
    def open_model(self, model: bytes, batch: int) -> LoadedModel:
        """Load a serialized model, from anywhere.

        Args:
            model: A model in the format `model_format` with one input, a batch of images.
            batch: Number of images per run.

        Raises:
            UnrunnableError: If the runtime rejects the model.
            MixnasError: If the model's input is not a batch of images.
        """

    def open_program(self, program: Program, batch: int) -> LoadedModel:
        """Load a network.

        Args:
            program: The network.
            batch: Number of images per run.

        Raises:
            UnrunnableError: If the network cannot be written, or if the runtime rejects it.
        """
        return self.open_model(serialized(program, self.model_format, self.precision, batch), batch)

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        return timed(self.open_program(program, self.batch), self.batch)

    def load_model(self, model: bytes) -> TimedRun:
        """See `Runtime.load_model`."""
        return timed(self.open_model(model, self.batch), self.batch)

    def outputs(self, program: Program, images: np.ndarray) -> np.ndarray:
        """See `Runtime.outputs`."""
        loaded = self.open_program(program, len(images))
        loaded.feed(images)
        loaded.run()
        return loaded.outputs()


def timed(loaded: LoadedModel, batch: int) -> TimedRun:
    """Return a function that runs a model on noise."""
    loaded.feed(noise(batch, loaded.shape))

    def run() -> float:
        start = time.perf_counter_ns()
        loaded.run()
        return (time.perf_counter_ns() - start) / 1e6

    return run


class CpuRuntime(ModelRuntime):
    """Runs serialized models on the CPU only; a subclass sets `version`.

    Attributes:
        family: Name of the runtime on the command line.
        title: Its name in messages.
        precisions: The precisions that it computes with.
    """

    family: ClassVar[str]
    title: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    pins_threads = False
    version: str

    def __init__(
        self, processor: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """Open the runtime.

        Args:
            processor: ``cpu``.
            threads: Number of threads; None for one per usable core.
            batch: Number of images per run.
            precision: One of `precisions`.

        Raises:
            MixnasError: If the processor or the precision is not supported.
            ModuleNotFoundError: If the runtime is not installed.
        """
        if processor not in PROCESSORS:
            raise MixnasError(unknown(f"processor of {self.title}", processor, PROCESSORS))
        if precision not in self.precisions:
            raise MixnasError(
                f"precision {precision} does not run in {self.title}; use "
                f"{' or '.join(self.precisions)} there, or another runtime"
            )
        self.name = f"{self.family}:{processor}"
        self.machine = machine_name()
        self.threads = threads or usable_cores()
        self.tunable = precision == "fp32"
        self.batch = batch
        self.precision = precision
