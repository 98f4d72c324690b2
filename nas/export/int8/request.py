"""What a network is quantized and judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nas import defaults
from nas.data import DataSource, FolderData, load_data
from nas.data.subset import drawn_images, images_of
from nas.errors import MixnasError
from nas.export.device import ExportDevice
from nas.export.int8 import CALIBRATION_IMAGES, MAX_LOSS
from nas.export.trained import TrainedModel, normalised, statistics_for
from nas.progress import Step
from nas.units import number_of

SEED = 0
BATCH = 32  # validation images that run at once


@dataclass(frozen=True)
class LabelledImages:
    """The validation images of a data set, decoded as they are needed.

    Attributes:
        data: The data set.
        resolution: Side of the images, in pixels.
        mean: Mean by channel, as subtracted in the training, shape (3,).
        std: Deviation by channel, shape (3,).
    """

    data: DataSource
    resolution: int
    mean: torch.Tensor
    std: torch.Tensor

    def __len__(self) -> int:
        """Return the number of images, including any that cannot be read."""
        return self.data.count("validation")

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield inputs of the network (B, 3, R, R) and their labels (B,), B at most `BATCH`."""
        for start in range(0, len(self), BATCH):
            rows = np.arange(start, min(start + BATCH, len(self)))
            pixels, labels = images_of(self.data, "validation", rows, self.resolution)
            if len(labels):
                yield normalised(pixels, self.mean, self.std).numpy(), labels.numpy()


@dataclass(frozen=True)
class Int8Request:
    """How to quantize a network, and what may come of it.

    Attributes:
        calibration: Inputs to calibrate on, shape (N, C, H, W); None for random noise.
        source: Where they come from, for the user.
        validation: Images to judge accuracy on; None if the weights are random.
        device: Device to measure latency on; None for the format's own.
        max_loss: Accuracy that may be lost, in percentage points.
        step: Called with the number of images judged and their total.
        remarks: Remarks for the user.
    """

    calibration: np.ndarray | None = None
    source: str = "random noise"
    validation: LabelledImages | None = None
    device: ExportDevice | None = None
    max_loss: float = MAX_LOSS
    step: Step | None = None
    remarks: tuple[str, ...] = ()


def request_for(
    trained: TrainedModel, data: str | None = None, count: int = CALIBRATION_IMAGES
) -> Int8Request:
    """Return a request with the images for a network.

    It is calibrated on training images and judged on validation images of the data set that it
    was trained on; the test images are left alone. With random weights there is nothing to judge.

    Args:
        trained: The network.
        data: Name or path of its data set; None for the one that the training names.
        count: Number of images to calibrate on, at most.

    Raises:
        MixnasError: If the data set is not known, cannot be read, or is another one.
    """
    spec = trained.spec
    if trained.weights is None and spec.input.channels != 3:
        return Int8Request()
    name = data or trained.data or (defaults.DATA if trained.weights is None else None)
    if name is None:
        assert trained.weights is not None
        known = "" if trained.metadata is None else f" (it was called '{trained.metadata.data}')"
        raise MixnasError(
            f"int8 is calibrated on the training images, and {trained.weights.source} is not in "
            f"the folder of a training run that names them{known}; name the data set with --data"
        )
    if spec.input.channels != 3:
        raise MixnasError(
            f"int8 is calibrated on images in colours, but the network takes "
            f"{number_of(spec.input.channels, 'channel')}; export it without int8"
        )
    source = _load(name, trained, given=data is not None)
    if trained.weights is not None:
        _check_classes(source, trained)
    side = spec.input.resolution
    pixels = drawn_images(source, "train", count, side, SEED)
    mean, std = statistics_for(trained.metadata, pixels)
    validation = None
    if trained.weights is not None:
        validation = LabelledImages(source, side, mean, std)
    return Int8Request(
        calibration=normalised(pixels, mean, std).numpy(),
        source=f"{number_of(len(pixels), 'training image')} of {name}",
        validation=validation,
        remarks=(*_too_few(name, len(pixels), count), *_remarks(source, trained)),
    )


def _load(name: str, trained: TrainedModel, given: bool) -> DataSource:
    try:
        return load_data(name, trained.images_per_class)
    except (MixnasError, OSError) as error:
        if given:
            raise
        raise MixnasError(
            f"int8 is calibrated on the training images, and those of the training cannot be "
            f"read: {error}; name the data set with --data"
        ) from None


def _check_classes(data: DataSource, trained: TrainedModel) -> None:
    """Refuse a data set that the network was not trained on, as far as its classes tell."""
    metadata = trained.metadata
    if metadata is not None and tuple(data.classes) != metadata.classes:
        raise MixnasError(
            f"{data.name} has other classes than the data set of the training, or another order; "
            "name the data set of the training with --data"
        )
    if data.num_classes != trained.spec.num_classes:
        raise MixnasError(
            f"{data.name} has {number_of(data.num_classes, 'class', 'classes')}, and the network "
            f"{trained.spec.num_classes}; name the data set of the training with --data"
        )


def _too_few(name: str, found: int, count: int) -> tuple[str, ...]:
    if found >= count:
        return ()
    return (
        f"calibrated on {number_of(found, 'training image')} instead of {count:,}, since {name} "
        "has no more that can be read",
    )


def _remarks(data: DataSource, trained: TrainedModel) -> tuple[str, ...]:
    metadata = trained.metadata
    known = metadata.data_fingerprint if metadata is not None else ""
    if not known or (isinstance(data, FolderData) and not data.is_known()):
        return ()
    if data.fingerprint() == known:
        return ()
    return (
        f"{data.name} has changed since the training: its validation images may be among those "
        "that the network was trained on",
    )
