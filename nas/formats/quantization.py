"""What the quantizers of all formats share: images to calibrate on, and silence.

Weights show their ranges themselves. Those of the activations are found by running images through
the network: the smallest and the largest value of every tensor on any of them. Means over images,
which some tools take instead, cut off what only some images have; the outputs of networks with
swish then differ several times as much.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np

from nas.ir import Shape

NOISE_IMAGES = 4
BATCH = 16  # images that run at once, which bounds the memory


def calibration_images(images: np.ndarray | None, shape: Shape) -> np.ndarray:
    """Return images to calibrate on, float32, shape (N, C, H, W).

    Args:
        images: Representative inputs of the network (N, C, H, W), N at least 1. None for random
            noise, which is good enough to measure speed but not accuracy.
        shape: Shape of one image (C, H, W).

    Raises:
        ValueError: If there are none, or their shape is another.
    """
    if images is None:
        rng = np.random.default_rng(0)
        return rng.standard_normal((NOISE_IMAGES, *shape), dtype=np.float32)
    if len(images) == 0 or images.shape[1:] != shape:
        raise ValueError(f"calibration needs images of shape (N, {shape}), not {images.shape}")
    return np.ascontiguousarray(images, dtype=np.float32)


def batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield images in batches of at most `BATCH`."""
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


@contextmanager
def quietly(logger: str | None = None) -> Iterator[None]:
    """Suppress what quantizers tell of their progress, warnings, and all that they log but errors.

    Args:
        logger: Name of their logger; None for the root logger.
    """
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        log.setLevel(level)
