"""What every runtime is: it takes a network and gives back something that runs it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.ir import Node, Shape

TimedRun = Callable[[], float]
"""Runs a network once and returns the milliseconds it took."""


@dataclass(frozen=True)
class Program:
    """A network ready to be run: what is computed, on what, with which weights.

    Attributes:
        tree: the layer tree, as trained or lowered; names hold no dots when it is lowered.
        shape: of one image.
        weights: by name, as a state dict of the tree's torch module has them.
    """

    tree: Node
    shape: Shape
    weights: Mapping[str, np.ndarray]


class Runtime(Protocol):
    """Runs networks on this machine.

    Attributes:
        name: as given on the command line: ``onnxruntime:cpu``.
        version: what runs the networks, with its version.
        machine: the processor, or the GPU.
        threads: that it computes with.
        places_threads: whether it keeps its other threads off the calling one's core.
        tunable: whether networks load quickly enough to try many forms.
    """

    name: str
    version: str
    machine: str
    threads: int
    places_threads: bool
    tunable: bool

    def load(self, program: Program) -> TimedRun:
        """Make a network ready to run on images of noise.

        Raises:
            MixnasError: when the runtime cannot run it.
        """
        ...


def noise(batch: int, shape: Shape) -> np.ndarray:
    """Return images that are the same every time: float32 (batch, C, H, W)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *shape), dtype=np.float32)
