"""Teachers: trained networks whose predictions a student learns from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.named import TIMM, is_timm, timm_module
from nas.train.augment import IMAGENET_MEAN, IMAGENET_STD
from nas.train.placement import Placement


class FixedTeacher:
    """A `Teacher` with fixed weights, which sees images normalized as in its own training."""

    def __init__(
        self,
        module: nn.Module,
        placement: Placement,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        """Take the network and freeze its weights.

        Args:
            module: Network: normalized images (B, 3, H, W) -> logits (B, classes).
            placement: Device on which the student is trained.
            mean: Mean of the images that the teacher was trained on, by channel, in 0..1.
            std: Standard deviation of these images, by channel.
        """
        self._module = placement.place(module).eval().requires_grad_(requires_grad=False)
        self._placement = placement
        self._mean = torch.tensor(mean).view(1, 3, 1, 1).to(placement.device)
        self._std = torch.tensor(std).view(1, 3, 1, 1).to(placement.device)

    @torch.no_grad()
    def __call__(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """See `Teacher`."""
        device = images.device
        pixels = images * std.to(device) + mean.to(device)
        normalized = (pixels - self._mean) / self._std
        with self._placement.autocast():
            logits: Tensor = self._module(normalized)
        return logits


def open_teacher(name: str, classes: int, placement: Placement) -> FixedTeacher:
    """Return one of timm's pretrained networks as a teacher; timm downloads its weights.

    Args:
        name: ``timm:NAME``.
        classes: Number of classes of the data.
        placement: Device on which the student is trained.

    Raises:
        MixnasError: If there is no such network, or it has another number of classes.
    """
    if not is_timm(name):
        raise MixnasError(f"unknown teacher '{name}'; give one of timm's networks as timm:NAME")
    module: Any = timm_module(name.removeprefix(TIMM), pretrained=True)
    if module.num_classes != classes:
        raise MixnasError(
            f"the teacher {name} distinguishes {module.num_classes} classes, but the data has "
            f"{classes}; choose a teacher that was trained on the same classes"
        )
    config = module.pretrained_cfg
    return FixedTeacher(module, placement, tuple(config["mean"]), tuple(config["std"]))
