"""The interface of runtimes: a runtime loads a network and returns a function that runs it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nas.ir import Node, Shape

TimedRun = Callable[[], float]
"""Runs a network once and returns the time in milliseconds."""


@dataclass(frozen=True)
class Program:
    """A network with its input shape and weights.

    Attributes:
        tree: Layer tree, as trained or lowered; the names in a lowered tree contain no dots.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.
    """

    tree: Node
    shape: Shape
    weights: Mapping[str, np.ndarray]


class Runtime(Protocol):
    """Runs networks on this machine.

    Attributes:
        name: Name of the runtime, as given on the command line: ``onnxruntime:cpu``.
        version: Name and version of the software that runs the networks.
        machine: Name of the processor or GPU.
        threads: Number of threads that it computes with.
        pins_threads: Whether it pins all threads but the calling one to other cores.
        tunable: Whether networks load quickly enough to try many forms.
        model_format: Name of the format of the models that it takes (see
            `nas.latency.runtimes.models`): ``onnx``; None if it runs layer trees only.
    """

    name: str
    version: str
    machine: str
    threads: int
    pins_threads: bool
    tunable: bool
    model_format: str | None

    def load(self, program: Program) -> TimedRun:
        """Make a network ready to run on images of random noise.

        Raises:
            UnrunnableError: If the runtime cannot run the network.
        """
        ...

    def load_model(self, model: bytes) -> TimedRun:
        """Make a serialized model, from anywhere, ready to run on images of random noise.

        Args:
            model: A model in the format `model_format` with one input, a batch of images.

        Raises:
            UnrunnableError: If the runtime rejects the model.
            MixnasError: If the model's input is not a batch of images, or if the runtime takes no
                models.
        """
        ...

    def outputs(self, program: Program, images: np.ndarray) -> np.ndarray:
        """Run a network once on given images.

        Args:
            program: The network.
            images: float32 (N, C, H, W), for any N.

        Returns:
            The outputs, float32 (N, classes).

        Raises:
            UnrunnableError: If the runtime cannot run the network.
        """
        ...


@runtime_checkable
class ProfilingRuntime(Protocol):
    """A runtime with a profiler of its own."""

    def operator_ms(self, program: Program) -> dict[str, float]:
        """Return the milliseconds of each kind of operator in a run, the longest first.

        Raises:
            UnrunnableError: If the runtime cannot run the network.
        """
        ...


@runtime_checkable
class ReadingRuntime(Protocol):
    """A runtime that times what it has read from files of its own.

    Attributes:
        own_format: Name of the format of these files; None for none.
    """

    own_format: str | None

    def load_read(self, read: Any) -> TimedRun:
        """Make what was read ready to be timed; see `Runtime.load`."""
        ...


def noise(batch: int, shape: Shape) -> np.ndarray:
    """Return the same images of random noise on every call: float32 (batch, C, H, W)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *shape), dtype=np.float32)
