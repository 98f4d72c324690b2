"""What is to be exported: a network, its weights, and what they were trained as."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nas import defaults
from nas.accuracy.weights import find_weights
from nas.data import DATA, load_data
from nas.data.subset import some_images
from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata
from nas.named import is_timm
from nas.spec import NetworkSpec, load_network, reference_names
from nas.torch_model import TrainedWeights
from nas.train.settings import NETWORK, WEIGHTS
from nas.units import number_of


@dataclass(frozen=True)
class TrainedModel:
    """A network to export.

    Attributes:
        spec: The network.
        weights: Its weights; None for random ones.
        metadata: What the weights were trained as; None if that is not known.
        data: Name or path of the data set of its training; None if that is not known.
        images_per_class: Number of images of each class in its training, at most; None for all.
        remarks: Remarks for the user.
    """

    spec: NetworkSpec
    weights: TrainedWeights | None = None
    metadata: ModelMetadata | None = None
    data: str | None = None
    images_per_class: int | None = None
    remarks: tuple[str, ...] = ()


def find_trained(network: str, weights: str | None = None, data: str | None = None) -> TrainedModel:
    """Find a network and what belongs to it.

    Args:
        network: Name of a reference network, path of a spec file, or folder of a training.
        weights: File with trained weights, or ``supernet:RUN``; None for those in the folder of the
            training.
        data: Name or path of a data set that may be that of the weights, if it has been moved.

    Raises:
        MixnasError: If there is no such network, or the weights belong to another one.
    """
    folder = Path(network)
    if network not in reference_names() and folder.is_dir():
        if not (folder / NETWORK).is_file():
            raise MixnasError(
                f"{network} is not the folder of a training run: it has no {NETWORK}; give such a "
                "folder, the path of a spec, or the name of a reference network"
            )
        if weights is None:
            weights = str(folder / WEIGHTS)
            if not Path(weights).is_file():
                raise MixnasError(
                    f"the training in {network} has not ended: there is no {weights}; continue it "
                    f"with python -m nas.train --resume {network}"
                )
        network = str(folder / NETWORK)
    elif folder.suffix == ".safetensors" and folder.is_file():
        raise MixnasError(
            f"{network} is a file of weights; give the folder of its training, or the network's "
            f"spec with --weights {network}"
        )
    spec = load_network(network)
    if weights is None:
        return TrainedModel(spec)
    if is_timm(weights):
        raise MixnasError(
            f"--weights {weights}: timm's weights are exported after a training that starts from "
            "them (nas.train --weights); give a .safetensors file or supernet:RUN"
        )
    found = find_weights(weights, spec, data)
    metadata, remarks = found.metadata, found.remarks
    if metadata is None:
        remark = (
            f"{weights} does not say its classes and how images are prepared; weights of nas.train "
            "do, from this version on"
        )
        remarks = (*remarks, remark)
    else:
        spec, changes = _as_trained(spec, metadata, network, weights)
        remarks = (*remarks, *changes)
    return TrainedModel(spec, found, metadata, found.data, found.images_per_class, remarks)


def _as_trained(
    spec: NetworkSpec, metadata: ModelMetadata, network: str, weights: str
) -> tuple[NetworkSpec, tuple[str, ...]]:
    """Return the network that the weights were trained in, which may have another input."""
    trained = metadata.network()
    if trained is None or trained == spec:
        return spec, ()
    if spec.replace(input=trained.input, num_classes=trained.num_classes) != trained:
        raise MixnasError(
            f"{weights}: the weights belong to another network, '{trained.name}'; give its spec, "
            "or the folder of its training"
        )
    remark = (
        f"exported as it was trained: {number_of(trained.num_classes, 'class', 'classes')}, "
        f"{trained.input.resolution} px "
        f"({network} has {number_of(spec.num_classes, 'class', 'classes')}, "
        f"{spec.input.resolution} px)"
    )
    return trained.replace(name=spec.name), (remark,)


def images_for(model: TrainedModel, count: int) -> tuple[Tensor, str] | None:
    """Return real images, prepared as the network expects them, and where they come from.

    They are validation images of the network's own data set if that can be read, else of the
    built-in one.

    Args:
        model: The network.
        count: Number of images.

    Returns:
        Inputs of the network (count, 3, H, W), and the name of the data set; None if the network
        does not take images in colours.
    """
    if model.spec.input.channels != 3:
        return None
    side = model.spec.input.resolution
    for name in filter(None, (model.data, defaults.DATA)):
        try:
            data = DATA[name]() if name in DATA else load_data(name)
            pixels = some_images(data, count, side)
        except (MixnasError, OSError):
            continue  # the data set of the training may be on another machine
        return normalised(pixels, *statistics_for(model.metadata, pixels)), name
    return None


def statistics_for(metadata: ModelMetadata | None, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation, by channel, by which a network's images are normalized.

    Args:
        metadata: What the network was trained as; None for the statistics of the images.
        pixels: Images, uint8, shape (N, 3, R, R).
    """
    if metadata is None:
        values = pixels.float() / 255
        return values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-3)
    prepared = metadata.preprocessing
    return torch.tensor(prepared.mean), torch.tensor(prepared.std)


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return images as a network takes them, float32, for pixels, uint8, (N, 3, R, R)."""
    return (pixels.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
