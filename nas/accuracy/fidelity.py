"""Fidelities: the images at the resolution of an estimate, and networks of another width."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Annotated

import torch
from pydantic import Field

from nas.blocks.parts import make_divisible
from nas.data import ImageData, load_data
from nas.ir import GlobalPool, walk
from nas.progress import Step
from nas.spec import NetworkSpec

MOST_SIDE = 2_048  # pixels
_SIDE_STEP = 4  # pixels

AtLeastOne = Annotated[int, Field(ge=1)]
Resolution = Annotated[int, Field(ge=8, le=MOST_SIDE)]
"""Height and width of the images, in pixels."""
WidthFactor = Annotated[float, Field(gt=0, le=4)]
"""Factor by which all channels of a network are multiplied."""


@lru_cache(maxsize=2)
def shared_data(name: str, resolution: int, validation: int | None = None) -> ImageData:
    """Load a data set at a resolution, once per process.

    Args:
        name: Name or path of the data set.
        resolution: Height and width of the images, in pixels.
        validation: Number of validation images to keep, at most; None for all. They are drawn at
            random, but are the same for all networks.

    Raises:
        MixnasError: If there is no such data set, or it cannot be read.
    """
    data = load_data(name).at(resolution)
    count = len(data.labels["validation"])
    if validation is None or validation >= count:
        return data
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:validation]
    index = drawn.sort().values
    return dataclasses.replace(
        data,
        images={**data.images, "validation": data.images["validation"][index]},
        labels={**data.labels, "validation": data.labels["validation"][index]},
    )


def prepare_data(name: str, resolution: int, step: Step | None) -> list[str]:
    """Read a data set at a resolution, so that worker processes find it in the cache.

    Args:
        name: Name or path of the data set.
        resolution: Height and width of the images, in pixels.
        step: Called with the number of images read and of all.

    Returns:
        Remarks for the user, one line each.

    Raises:
        MixnasError: If there is no such data set, or it cannot be read.
    """
    data = load_data(name).at(resolution, step)
    return [data.remark()] if data.broken else []


def least_resolution(spec: NetworkSpec, least: int) -> int:
    """Return the smallest resolution at which a network's kernels all make a difference.

    The last feature maps are at least 2x2 then. On maps of 1x1, all weights of a kernel but the
    central one meet padding, so networks that differ in the kernels of their last stages are equal.

    Args:
        spec: The network.
        least: Smallest resolution to consider, in pixels; larger ones follow in steps of 4.
    """
    for side in range(least, MOST_SIDE, _SIDE_STEP):
        layers = walk(spec.tree(), (spec.in_shape[0], side, side))
        *_, pool = (layer for layer in layers if isinstance(layer.leaf, GlobalPool))
        if min(pool.in_shape[1:]) >= 2:
            return side
    return MOST_SIDE


def widened(spec: NetworkSpec, factor: float) -> NetworkSpec:
    """Return a network with all channels multiplied, rounded to multiples of 8 as in MobileNetV2.

    Args:
        spec: The network.
        factor: Width multiplier (Howard et al. 2017, section 3.3); 1 leaves the network as it is.
    """
    if factor == 1:
        return spec
    stages = tuple(
        tuple(
            dataclasses.replace(block, channels=make_divisible(block.channels * factor))
            for block in stage
        )
        for stage in spec.stages
    )
    head = spec.head.channels and make_divisible(spec.head.channels * factor)
    return spec.replace(
        stem=dataclasses.replace(spec.stem, channels=make_divisible(spec.stem.channels * factor)),
        stages=stages,
        head=dataclasses.replace(spec.head, channels=head),
    )
