"""What judging a network rests on: the images, loaded once a process, and cheaper versions."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import torch

from nas.blocks.parts import make_divisible
from nas.data import ImageData, load_data
from nas.ir import GlobalPool, walk
from nas.progress import Step
from nas.spec import NetworkSpec

MOST_SIDE = 2_048  # pixels


@lru_cache(maxsize=2)
def shared_data(name: str, resolution: int, validation: int | None = None) -> ImageData:
    """Load a data set at a resolution, once a process.

    Args:
        name: of the data set.
        resolution: side in pixels.
        validation: images to judge by, at most; they are drawn once for all networks.
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


def least_resolution(spec: NetworkSpec, least: int) -> int:
    """Return the side of the smallest images that show what a network can do, from `least` on.

    Its last maps are 2x2 then; on maps of 1x1, all of a kernel but its middle meets padding, and
    networks that differ in the kernels of their last stages are the same.
    """
    for side in range(least, MOST_SIDE, 4):
        layers = walk(spec.tree(), (spec.in_shape[0], side, side))
        *_, pool = (layer for layer in layers if isinstance(layer.leaf, GlobalPool))
        if min(pool.in_shape[1:]) >= 2:
            return side
    return MOST_SIDE


def prepare_data(name: str, resolution: int, step: Step | None) -> list[str]:
    """Read a data set at a resolution; return what a user should know of it."""
    data = load_data(name).at(resolution, step)
    return [data.remark()] if data.broken else []


def widened(spec: NetworkSpec, factor: float) -> NetworkSpec:
    """Return a network with its channels multiplied, in multiples of 8 as MobileNetV2's are."""
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
