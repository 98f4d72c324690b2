"""Weights of a pretrained network, with which other networks begin as far as they share them.

With few images, every network that starts from random weights is about equally poor. One that
starts from what another network learned from many images is not, even if it shares only some of its
layers: the first channels, the centers of kernels, the first blocks of every stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.accuracy.sharing.bank import WeightBank, weight_slices
from nas.accuracy.weights import find_weights
from nas.errors import MixnasError
from nas.formats.metadata import Preprocessing
from nas.named import TIMM, is_timm
from nas.references import references
from nas.spec import NetworkSpec
from nas.torch_model import TrainedWeights, is_of_classifier
from nas.train.recipe import Statistics
from nas.train.settings import SUPERNET

SETTING = "weights"
"""Name of the setting of estimators and of the retraining that names a pretrained network."""
OTHER_SIZE = 1.5  # ratio of the sides of images from which on weights meet unusual ones


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network.

    Attributes:
        name: Name of its weights, as the user gives it.
        spec: The network.
        tensors: Its weights by name.
        preprocessing: How its images were prepared.
    """

    name: str
    spec: NetworkSpec
    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing

    @property
    def normalisation(self) -> Statistics:
        """Mean and standard deviation by which its images were normalized."""
        return self.preprocessing.mean, self.preprocessing.std

    def digest(self) -> str:
        """Return a hash of the weights, 16 hexadecimal digits."""
        found = hashlib.sha256()
        for name in sorted(self.tensors):
            found.update(f"{name}{tuple(self.tensors[name].shape)}".encode())
            values = self.tensors[name].contiguous().reshape(-1).view(torch.uint8)
            found.update(values.numpy().tobytes())
        return found.hexdigest()[:16]

    def weights_for(
        self, spec: NetworkSpec, seed: int, zero_residuals: bool = False
    ) -> dict[str, Tensor]:
        """Return the parameters that a network begins with, by name.

        Args:
            spec: The network.
            seed: Random seed of those that it does not share with this one.
            zero_residuals: Whether residual branches that are not shared start at zero.
        """
        bank = WeightBank(zero_residuals)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            bank.add(spec)
        bank.adopt(self.spec, self.tensors)
        return {name: tensor.detach() for name, tensor in bank.weights(spec).items()}

    def share(self, spec: NetworkSpec) -> float:
        """Return the fraction of a network's weights that it shares, without classifiers, 0..1."""
        bank = WeightBank()
        bank.add(spec)
        with torch.no_grad():
            for tensor in bank.tensors.values():
                tensor.zero_()
        bank.adopt(self.spec, {name: torch.ones_like(t) for name, t in self.tensors.items()})
        weights = bank.weights(spec).items()
        own = [tensor for name, tensor in weights if not is_of_classifier(name)]
        shared = sum(int(torch.count_nonzero(tensor)) for tensor in own)
        return shared / sum(tensor.numel() for tensor in own)

    def remarks(self, resolution: int) -> list[str]:
        """Return remarks for the user on images of another size than those of its training.

        Args:
            resolution: Height and width of the images that networks are shown, in pixels.
        """
        own = self.preprocessing.resolution
        if max(own, resolution) < OTHER_SIZE * min(own, resolution):
            return []
        return [
            f"the weights of {self.name} come from images of {own} px, but images are shown at "
            f"{resolution} px; with the setting resolution={own} they are shown as they were then"
        ]

    def remarks_on(self, networks: Sequence[NetworkSpec], resolution: int) -> list[str]:
        """Return remarks for the user on networks that begin from the weights.

        Args:
            networks: Some of the networks.
            resolution: Height and width of the images that they are shown, in pixels.
        """
        share = sum(map(self.share, networks)) / len(networks)
        return [
            *self.remarks(resolution),
            f"networks take {share:.0%} of their weights from {self.name}, on average and without "
            "the classifier",
        ]


@lru_cache(maxsize=1)
def open_pretrained(name: str) -> Pretrained:
    """Return a pretrained network; it is read once.

    Args:
        name: Path of a .safetensors file that ``nas.train`` wrote; or ``timm:NAME`` for the
            weights of a reference network, which timm downloads.

    Raises:
        MixnasError: If there are no such weights, they are damaged, or they do not tell which
            network they are of, or how its images were normalized.
    """
    if name.startswith(SUPERNET):
        raise MixnasError(
            f"{SETTING}={name}: expected the path of a .safetensors file or timm:NAME; the weights "
            "of a supernet's network are a file after python -m nas.train SPEC --weights "
            f"{name}"
        )
    spec = _reference_of(name) if is_timm(name) else None
    file = name if is_timm(name) else str(Path(name).expanduser())
    if spec is None and not Path(file).is_file():
        raise MixnasError(
            f"{SETTING}={name}: no such file; give the path of a .safetensors file. A run that "
            "began with it needs it in the same place to go on"
        )
    weights = find_weights(file, spec)
    if spec is None and weights.metadata is not None:
        spec = weights.metadata.network()
    preprocessing = weights.preprocessing
    if spec is None or preprocessing is None:
        raise MixnasError(
            f"{SETTING}={name}: the file does not tell which network its weights are of and how "
            "images were normalized; the weights.safetensors of a run of python -m nas.train does"
        )
    if min(preprocessing.std) <= 0:
        raise MixnasError(
            f"{SETTING}={name}: the standard deviations of the images, {preprocessing.std}, must "
            "be positive; the file is damaged"
        )
    _check(name, spec, weights)
    return Pretrained(name, spec, weights.tensors, preprocessing)


def with_normalisation(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return settings of an estimator, with how the images of a pretrained network were normalized.

    Args:
        settings: Settings by name; a normalization that they name holds.

    Raises:
        MixnasError: As `open_pretrained`.
    """
    name = settings.get(SETTING)
    if not name:
        return dict(settings)
    return {"normalisation": open_pretrained(name).normalisation, **settings}


def _reference_of(name: str) -> NetworkSpec:
    """Return the reference network whose weights are published under timm's name.

    Raises:
        MixnasError: If there is none.
    """
    known = {
        each.published.weights: each.spec
        for each in references()
        if each.published is not None and each.published.weights.startswith(TIMM)
    }
    for weights, spec in known.items():
        if name in (weights, weights.partition(".")[0]):
            return spec.replace(name=name)
    raise MixnasError(
        f"{SETTING}={name}: there is no reference network with these weights; choose those of a "
        "MixNet, a MobileNet or an EfficientNet that python -m nas.space references lists, such "
        "as timm:mixnet_l"
    )


def _check(name: str, spec: NetworkSpec, weights: TrainedWeights) -> None:
    """Refuse a file whose weights are not those of the network that it names.

    Raises:
        MixnasError: If one is missing or has another shape.
    """
    for part in weight_slices(spec):
        tensor = weights.tensors.get(part.name)
        if tensor is None or tuple(tensor.shape) != part.shape:
            found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
            raise MixnasError(
                f"{SETTING}={name}: '{part.name}' is {found}, but its network has one of shape "
                f"{part.shape}; the file is damaged"
            )
