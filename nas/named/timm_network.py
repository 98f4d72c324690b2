"""Networks of timm, by name: ``timm:NAME``.

timm (and torch, which it imports) is loaded when a network is opened, never before.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from nas.document import digest
from nas.errors import MixnasError, reason_of
from nas.imports import missing_package
from nas.ir import Shape
from nas.spec import TIMM

if TYPE_CHECKING:
    from torch import nn

CHANNELS = 3
_MADE_FOR = (CHANNELS, 224, 224)  # of networks for which timm has no configuration
_SIMILAR = 5  # names suggested for an unknown one


@dataclass(frozen=True)
class TimmNetwork:
    """One of timm's networks, before it is built.

    It holds no weights, so that it can be sent to other processes and machines.

    Attributes:
        name: Name with its prefix: ``timm:vit_tiny_patch16_224``.
        num_classes: Number of classes.
        resolution: Side of the images, in pixels.
    """

    name: str
    num_classes: int
    resolution: int

    @property
    def timm_name(self) -> str:
        """Timm's own name, without the prefix."""
        return self.name.removeprefix(TIMM)

    @property
    def in_shape(self) -> Shape:
        """Shape of one image (C, H, W)."""
        return (CHANNELS, self.resolution, self.resolution)

    def build(self, seed: int, dropout: float = 0.0, drop_path: float = 0.0) -> nn.Module:
        """Build the network with random weights; nothing is downloaded.

        Args:
            seed: Random seed of the weights.
            dropout: Probability of dropping an input of the classifier.
            drop_path: Probability of dropping a block, in the last one.

        Returns:
            Module: images (N, 3, H, W) -> logits (N, classes).

        Raises:
            MixnasError: If timm is not installed, or cannot build the network.
        """
        _timm(self.name)
        import torch

        # Some networks do not accept these options, so they are left out where they are zero.
        rates = {"drop_rate": dropout, "drop_path_rate": drop_path}
        drops = {key: value for key, value in rates.items() if value}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return timm_module(self.timm_name, num_classes=self.num_classes, **drops)

    def digest(self) -> str:
        """Return 16 hexadecimal digits that identify the network."""
        return digest(self._data())

    def to_yaml(self) -> str:
        """Return a document from which `network_from_yaml` restores the network."""
        return yaml.safe_dump(self._data(), sort_keys=False)

    def _data(self) -> dict[str, str | int]:
        return {
            "timm": self.name,
            "num_classes": self.num_classes,
            "resolution": self.resolution,
        }


def is_timm(name: str) -> bool:
    """Return whether a name is that of one of timm's networks."""
    return name.startswith(TIMM)


def open_timm(name: str, classes: int | None = None, resolution: int | None = None) -> TimmNetwork:
    """Return one of timm's networks, after one image has passed through it.

    Args:
        name: ``timm:NAME``.
        classes: Number of classes; None for those of timm's weights.
        resolution: Side of the images, in pixels; None for what the network is made for.

    Raises:
        MixnasError: If timm is not installed, has no such network or cannot build it; if the
            network has no classifier, or does not accept images of the resolution.
    """
    options = {} if classes is None else {"num_classes": classes}
    module: Any = timm_module(name.removeprefix(TIMM), **options)
    found = int(getattr(module, "num_classes", 0) or 0)
    if not found:
        raise MixnasError(
            f"{name} has no classifier of its own; name a network that has one, or set the number "
            "of classes where the command takes it"
        )
    made_for = int(_configuration(module).get("input_size", _MADE_FOR)[-1])
    network = TimmNetwork(name, found, resolution or made_for)
    _try(network, module, made_for)
    return network


def timm_module(name: str, **options: Any) -> nn.Module:
    """Build one of timm's networks.

    Args:
        name: timm's name of the network, without a prefix.
        options: Arguments of ``timm.create_model``.

    Raises:
        MixnasError: If timm is not installed, does not know the network, or can neither build it
            nor download its weights.
    """
    timm = _timm(f"{TIMM}{name}")
    known = timm.list_models()
    if name.partition(".")[0] not in known:  # timm would take addresses of other hubs, too
        near = difflib.get_close_matches(name, known, n=_SIMILAR)
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise MixnasError(f"timm has no network '{name}'{hint}")
    try:
        module: nn.Module = timm.create_model(name, **options)
    except Exception as error:  # timm, the hub and the network raise all kinds
        raise MixnasError(f"timm cannot build '{name}': {reason_of(error)}") from None
    return module


def classifier_layers(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers of one of timm's networks that depend on the classes.

    Networks that were distilled have two of them.
    """
    layers = _configuration(module).get("classifier") or ()
    return (layers,) if isinstance(layers, str) else tuple(layers)


def _configuration(module: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    return found


def _timm(name: str) -> ModuleType:
    """Import timm.

    Raises:
        MixnasError: If that fails, for the network of the given name.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        raise MixnasError(f"{name}: {missing}") from None
    except Exception as error:  # from a torchvision that was built for another torch
        raise MixnasError(
            f"{name}: timm cannot be imported: {reason_of(error)}; install the torchvision that "
            "was built for this torch"
        ) from error
    module: ModuleType = timm
    return module


def _try(network: TimmNetwork, module: Any, made_for: int) -> None:
    """Pass one image through a network.

    Raises:
        MixnasError: If it does not accept the image, or gives anything but logits.
    """
    import torch

    side = network.resolution
    try:
        with torch.no_grad():
            outputs = module.eval()(torch.zeros(1, *network.in_shape))
    except Exception as error:  # for example from a transformer made for one size
        raise MixnasError(
            f"{network.name} does not accept images of {side} px, and is made for {made_for} px: "
            f"{reason_of(error)}"
        ) from None
    shape = tuple(getattr(outputs, "shape", ()))
    if shape != (1, network.num_classes):
        raise MixnasError(
            f"{network.name} is no classifier of {network.num_classes} classes: its outputs for an "
            f"image have the shape {shape}"
        )
