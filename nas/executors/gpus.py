"""How the GPUs of this machine are divided among worker processes."""

from __future__ import annotations

import dataclasses
import math

from nas.errors import MixnasError
from nas.executors.base import Resources
from nas.machine import gpu_identifier
from nas.train.placement import describe, gpus_of
from nas.train.settings import PlacementSettings
from nas.units import number_of


def with_gpus(resources: Resources, placement: PlacementSettings, share: float | None) -> Resources:
    """Return the resources of workers that train somewhere on this machine.

    Args:
        resources: Number of workers at the most, and everything else.
        placement: Where networks are trained; on the CPU nothing changes.
        share: GPUs that one worker takes, up to 1: 0.5 puts two workers on a GPU; None for one.

    Raises:
        MixnasError: If the share is not possible.
    """
    if placement.kind == "cpu":
        return resources
    share = 1.0 if share is None else share
    if not 0 < share <= 1:
        raise MixnasError(
            f"--gpus {share:g} is not possible on this machine: a network is trained on one GPU "
            "or on a share of one; give a number above 0 and up to 1, such as 0.5"
        )
    gpus = tuple(gpu_identifier(device) for device in gpus_of(placement))
    room = max(1, len(gpus)) * math.floor(1 / share + 1e-9)
    workers = min(resources.workers, room)
    return dataclasses.replace(resources, workers=workers, gpus=gpus)


def remark_on(placement: PlacementSettings, resources: Resources) -> str | None:
    """Return a line for the user on the accelerator that networks are trained on; None on the CPU.

    Args:
        placement: Where networks are trained.
        resources: The workers, as `with_gpus` returned them.
    """
    if placement.kind == "cpu":
        return None
    number = resources.workers
    precision = "" if placement.precision == "auto" else f", {placement.precision}"
    return f"training on {describe(placement)}, {number_of(number, 'network')} at a time{precision}"
