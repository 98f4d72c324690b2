"""How the outputs of an exported network agree with those of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nas.errors import MixnasError
from nas.latency.parity import TOLERANCE, difference
from nas.spec import NetworkSpec
from nas.torch_model import Network

Run = Callable[[np.ndarray], np.ndarray]
"""Runs an exported network on images (N, C, H, W), and returns the outputs (N, classes)."""

BATCHES = (1, 3, 8)
"""Batch sizes at which a file is run: the same image must have the same outputs at each."""


@dataclass(frozen=True)
class Parity:
    """How the outputs of a file agree with those of torch.

    Attributes:
        difference: The largest difference at any batch size, relative to torch's largest output.
        images: Number of images.
        same_class: Number of images to which both give the same class.
        close: Number of images to which they need not, since torch's two best classes are closer
            than the tolerance.
    """

    difference: float
    images: int
    same_class: int
    close: int = 0

    def check(self) -> None:
        """Refuse outputs that differ.

        Raises:
            MixnasError: If they differ by more than `TOLERANCE`, or in the class of an image.
        """
        if not self.difference <= TOLERANCE:
            raise MixnasError(
                f"the exported network's outputs differ by {self.difference:.1e} from torch's "
                f"(allowed: {TOLERANCE:.0e}); no file was written"
            )
        if self.same_class + self.close < self.images:
            raise MixnasError(
                f"the exported network gives {self.images - self.same_class} of {self.images} "
                "images another class than torch does; no file was written"
            )


def batch_sizes(images: int) -> tuple[int, ...]:
    """Return the batch sizes at which a file is run on a number of images."""
    return (*(size for size in BATCHES if size < images), images)


def compare(model: Network, run: Run, images: Tensor) -> Parity:
    """Compare the outputs of an exported network with those of torch, at several batch sizes.

    Args:
        model: The torch module.
        run: The exported network.
        images: Inputs of the network, shape (N, C, H, W).
    """
    with torch.no_grad():
        expected = model.eval()(images).numpy()
    largest = max(float(np.abs(expected).max()), 1e-9)
    differences, found = [], expected
    for size in batch_sizes(len(images)):
        found = run(images[:size].numpy())
        differences.append(difference(found, expected[:size], largest))
    best = np.partition(expected, -2, axis=1)[:, -2:] if expected.shape[1] > 1 else None
    same = found.argmax(1) == expected.argmax(1)
    tied = np.zeros(len(images), bool)
    if best is not None:
        tied = best[:, 1] - best[:, 0] <= 2 * TOLERANCE * largest
    return Parity(
        difference=float(np.max(differences)),  # NaN if one of them is
        images=len(images),
        same_class=int(same.sum()),
        close=int((tied & ~same).sum()),
    )


def noise(spec: NetworkSpec) -> Tensor:
    """Return random inputs of a network, shape (N, C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(max(BATCHES), *spec.in_shape, generator=generator)
