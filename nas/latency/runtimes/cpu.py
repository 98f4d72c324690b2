"""What the runtimes have in common that take models in a file format and compute on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from nas.errors import MixnasError, unknown
from nas.latency.runtimes.base import Program, TimedRun
from nas.latency.runtimes.models import serialized
from nas.machine import machine_name, usable_cores

PROCESSORS = ("cpu",)


class CpuRuntime(ABC):
    """Runs serialized models on the CPU; a subclass sets `version` and loads models.

    Attributes:
        family: Name of the runtime on the command line.
        title: Its name in messages.
        precisions: The precisions that it computes with.
    """

    family: ClassVar[str]
    title: ClassVar[str]
    model_format: ClassVar[str]
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

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        return self.load_model(serialized(program, self.model_format, self.precision, self.batch))

    @abstractmethod
    def load_model(self, model: bytes) -> TimedRun:
        """See `Runtime.load_model`."""
