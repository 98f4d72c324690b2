"""Teachers: trained networks whose answers a student learns from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.train.augment import IMAGENET_MEAN, IMAGENET_STD
from nas.train.models import TIMM, timm_network
from nas.train.placement import Placement


class FixedTeacher:
    """A trained network, whose images are normalised in its own way."""

    def __init__(
        self,
        module: nn.Module,
        placement: Placement,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        """Take the network, which is not trained any more.

        Args:
            module: normalised images -> logits.
            placement: where the student is trained.
            mean: of the images that it was trained on, by channel, in 0..1.
            std: their standard deviation.
        """
        self._module = placement.place(module).eval().requires_grad_(requires_grad=False)
        self._placement = placement
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)

    @torch.no_grad()
    def __call__(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """See `Teacher`."""
        device = images.device
        pixels = images * std.to(device) + mean.to(device)
        own = (pixels - self._mean.to(device)) / self._std.to(device)
        with self._placement.autocast():
            logits: Tensor = self._module(own)
        return logits


def open_teacher(name: str, classes: int, placement: Placement) -> FixedTeacher:
    """Return a pretrained network of timm's as a teacher; timm downloads its weights.

    Raises:
        MixnasError: when there is no such network, or it tells other classes apart.
    """
    if not name.startswith(TIMM):
        raise MixnasError(f"a teacher is one of timm's networks: timm:NAME, not '{name}'")
    module: Any = timm_network(name.removeprefix(TIMM), pretrained=True)
    if module.num_classes != classes:
        raise MixnasError(
            f"the teacher {name} tells {module.num_classes} classes apart, the data {classes}"
        )
    about = module.pretrained_cfg
    return FixedTeacher(module, placement, tuple(about["mean"]), tuple(about["std"]))
