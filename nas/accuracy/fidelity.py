"""Fidelities: the images at the resolution of an estimate, and networks of another width."""

from __future__ import annotations

import dataclasses
import multiprocessing
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nas.accuracy.base import EstimateError, Estimator, is_accuracy_of
from nas.cost import count
from nas.data import PARTS, DataSource, FolderData, ImageData, load_data
from nas.errors import MixnasError
from nas.files import cache_folder
from nas.machine import usable_cores
from nas.named import TimmNetwork, open_timm
from nas.progress import Step
from nas.scale import Factors, ScalingRules, scaled
from nas.spec import NetworkSpec
from nas.train.batches import Batches, placed
from nas.train.placement import Placement
from nas.train.streaming import StreamedBatches
from nas.units import GIBIBYTE, number_of

MOST_SIDE = 2_048  # pixels
LARGE_ENOUGH = 112
"""Side of photographs, in pixels, at which accuracies mean something for what is deployed."""
_SIDE_STEP = 4  # pixels
_PROXY = ScalingRules(head="scale", group_width="keep")
"""Networks of another width stand for the network, so that the groups of their layers are its."""

AtLeastOne = Annotated[int, Field(ge=1)]
Resolution = Annotated[int, Field(ge=8, le=MOST_SIDE)]
"""Height and width of the images, in pixels."""
WidthFactor = Annotated[float, Field(gt=0, le=4)]
"""Factor by which all channels of a network are multiplied."""


@dataclass(frozen=True)
class Images:
    """The images that networks are estimated on, without the images themselves.

    Attributes:
        name: Name or path of the data set.
        resolution: Height and width of the images, in pixels.
        per_class: Number of images of each class to keep, at most; None for all.
        validation: Number of validation images to keep, at most; None for all. They are drawn at
            random, but are the same for all networks.
    """

    name: str
    resolution: int
    per_class: int | None = None
    validation: int | None = None

    @property
    def whole(self) -> Images:
        """The same images, with all those for validation."""
        return dataclasses.replace(self, validation=None)

    def source(self) -> DataSource:
        """Return the data set as it is given.

        Raises:
            MixnasError: If there is no such data set, or it cannot be read.
        """
        return load_data(self.name, self.per_class)

    def train_count(self) -> int:
        """Return the number of training images, which is found out once per process."""
        return _train_count(self)

    def guessed(self) -> tuple[int, int]:
        """Return how many validation images are of the most frequent class, and of how many.

        So many are classified correctly without looking at them. Files that cannot be read count,
        as nothing is decoded; the numbers are found out once per process.

        Raises:
            MixnasError: If there is no such data set, or it cannot be read.
        """
        return _guessed(self)

    def batches(self, size: int, seed: int, placement: Placement) -> Batches | StreamedBatches:
        """Return the images in batches; they are loaded once per process and device.

        They lie on the device that trains, if it has room for them. Image files whose pixels do not
        fit onto the disk are decoded as they are needed.

        Args:
            size: Images per step, of all processes together.
            seed: Random seed of the order of the images.
            placement: Where networks are trained.

        Raises:
            MixnasError: If there is no such data set, or it cannot be read.
        """
        if (streamed := _streamed(self)) is not None:
            return StreamedBatches(
                data=streamed,
                resolution=self.resolution,
                size=size,
                seed=seed,
                # A worker of an executor is a daemon, which may not start processes.
                workers=0 if multiprocessing.current_process().daemon else usable_cores(),
                rank=placement.rank,
                world=placement.world,
                pinned=placement.kind == "cuda",
            )
        data, staged = _placed(self, placement.device)
        return Batches(data, size, seed, placement.rank, placement.world, staged)

    def prepare(self, on: str, step: Step | None) -> list[str]:
        """Read the images, so that worker processes find them in the cache.

        Args:
            on: Kind of the device that networks are trained on.
            step: Called with the number of images read and their total number.

        Returns:
            Remarks for the user, one line each.

        Raises:
            MixnasError: If there is no such data set, or it cannot be read.
        """
        source = self.source()
        remarks = self._remarks_on_side(source.own_side(), on)
        if isinstance(source, FolderData) and not source.cache_fits(self.resolution):
            source.check_readable()
            return [*source.remarks(), *remarks]
        data = source.at(self.resolution, step)
        return [*data.remarks(), *remarks]

    def decoding(self) -> str | None:
        """Return a line for the user on what decoding takes; None if there is nothing to decode."""
        source = self.source()
        if not isinstance(source, FolderData) or source.cache_is_filled(self.resolution):
            return None
        number = sum(source.count(part) for part in PARTS)
        size = source.cached_bytes(self.resolution) / GIBIBYTE
        if not _must_stream(source, self.resolution):
            return (
                f"decoding {number_of(number, 'image')} once at {self.resolution} px, "
                f"{size:.2f} GiB on disk"
            )
        return (
            f"the pixels of {number_of(number, 'image')} at {self.resolution} px take "
            f"{size:.2f} GiB, for which the disk of {cache_folder('data')} has no room: they are "
            "decoded anew for every network; MIXNAS_CACHE can name another folder"
        )

    def _remarks_on_side(self, own: int, on: str) -> list[str]:
        larger = min(own, LARGE_ENOUGH)
        if on != "cpu" or larger < 2 * self.resolution:
            return []
        return [
            f"images of {own} px are used at {self.resolution} px, which is quick on a CPU; the "
            f"estimator's setting resolution={larger} shows more detail and takes about "
            f"{(larger / self.resolution) ** 2:.0f} times as long"
        ]


def decoding_of(estimator: object) -> str | None:
    """Return a line for the user on what decoding an estimator's images takes; None for nothing."""
    shown = getattr(estimator, "shown", None)
    return shown.decoding() if isinstance(shown, Images) else None


def guessed_of(estimator: Estimator) -> dict[str, int] | None:
    """Return what guessing gets right of the images that an estimator's accuracies are of.

    Returns:
        The numbers of `Images.guessed`, ``right`` and ``images``; None if scores are not accuracies
        on images that are here.
    """
    shown = getattr(estimator, "shown", None)
    if not isinstance(shown, Images) or not is_accuracy_of(estimator):
        return None
    try:
        right, images = shown.guessed()
    except MixnasError:  # whoever needs the images says so; this is a remark
        return None
    return {"right": right, "images": images}


@lru_cache(maxsize=8)
def _train_count(images: Images) -> int:
    return images.source().count("train")


@lru_cache(maxsize=8)
def _guessed(images: Images) -> tuple[int, int]:
    labels = images.source().labels_of("validation")
    index = _validation_index(len(labels), images.validation)
    counts = np.bincount(labels if index is None else labels[index.numpy()])
    return int(counts.max()), int(counts.sum())


@lru_cache(maxsize=4)
def shared_data(images: Images) -> ImageData:
    """Load images at their resolution, once per process, whatever is kept of them for validation.

    Raises:
        MixnasError: If there is no such data set, or it cannot be read.
    """
    if images.validation is not None:
        return _reduced(shared_data(images.whole), images.validation)
    return images.source().at(images.resolution)


def _reduced(data: ImageData, validation: int) -> ImageData:
    index = _validation_index(data.count("validation"), validation)
    if index is None:
        return data
    return dataclasses.replace(
        data,
        images={**data.images, "validation": data.images["validation"][index]},
        labels={**data.labels, "validation": data.labels["validation"][index]},
    )


def _validation_index(count: int, most: int | None) -> Tensor | None:
    """Return which validation images to keep, in order; None for all."""
    if most is None or most >= count:
        return None
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most]
    return drawn.sort().values


def _must_stream(source: DataSource, resolution: int) -> bool:
    """Tell whether a data set is of image files whose pixels do not fit onto the disk."""
    return isinstance(source, FolderData) and not source.cache_fits(resolution)


@lru_cache(maxsize=2)
def _streamed(images: Images) -> FolderData | None:
    """Return image files whose pixels do not fit onto the disk; None if they do."""
    source = images.source()
    if not isinstance(source, FolderData) or source.cache_fits(images.resolution):
        return None
    index = _validation_index(source.count("validation"), images.validation)
    return source if index is None else source.only({"validation": index.numpy()})


@lru_cache(maxsize=4)
def _placed(images: Images, device: str) -> tuple[ImageData, bool]:
    if images.validation is not None:
        data, staged = _placed(images.whole, device)
        return _reduced(data, images.validation), staged
    return placed(shared_data(images), device)


def forget_images() -> None:
    """Let go of the images that this process has loaded, on devices and in main memory."""
    for loaded in (_placed, _streamed, shared_data):
        loaded.cache_clear()


def least_resolution(spec: NetworkSpec, least: int) -> int:
    """Return the smallest resolution at which a network's kernels all make a difference.

    The last feature maps are at least 2x2 then. On maps of 1x1, all weights of a kernel but the
    central one meet padding, so networks that differ in the kernels of their last stages are equal.

    Args:
        spec: The network.
        least: Smallest resolution to consider, in pixels; larger ones follow in steps of 4.
    """
    for side in range(least, MOST_SIDE, _SIDE_STEP):
        try:
            _, height, width = spec.at(side).map_shape()
        except ValueError:  # a window does not fit into its map
            continue
        if min(height, width) >= 2:
            return side
    return MOST_SIDE


def shown_at(spec: NetworkSpec, resolution: int) -> NetworkSpec:
    """Return a network for images of another size, on which a classifier of whole maps depends.

    Args:
        spec: The network.
        resolution: Height and width of the images, in pixels.

    Raises:
        EstimateError: If the network's windows do not fit into maps as small as that.
    """
    shown = spec.at(resolution)
    try:
        count(shown)
    except (MixnasError, ValueError) as error:
        raise EstimateError(f"it does not take images of {resolution} px: {error}") from None
    return shown


def timm_shown_at(network: TimmNetwork, resolution: int) -> TimmNetwork:
    """Return one of timm's networks for images of another size.

    Raises:
        EstimateError: If it does not accept them, or cannot be built.
    """
    try:
        return open_timm(network.name, network.num_classes, resolution)
    except MixnasError as error:
        raise EstimateError(str(error)) from None


def widened(spec: NetworkSpec, factor: float) -> NetworkSpec:
    """Return a network with all channels multiplied, rounded to multiples of 8 as in MobileNetV2.

    Args:
        spec: The network.
        factor: Width multiplier (Howard et al. 2017, section 3.3); 1 leaves the network as it is.
    """
    return scaled(spec, Factors(width=factor), _PROXY)
