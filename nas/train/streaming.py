"""Batches of image files, decoded by worker processes as they are needed."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from nas.data import FolderData, Part
from nas.data.cache import Entry
from nas.data.decoding import Box, read_image
from nas.errors import MixnasError, reason_of
from nas.files import printable
from nas.train.batches import ShardedBatches, derive_seed, epoch_order

_logger = logging.getLogger(__name__)
_MORE_SHARED_MEMORY = (
    "give a container more of it (docker run --shm-size 8g), or use fewer --workers"
)
MAX_ASPECT_RATIO = 4 / 3  # of a crop, and its inverse the minimum (Szegedy et al. 2015)
MAX_TRIES = 10  # to draw a crop that fits into the image
STATISTICS_IMAGES = 1_024
Item = tuple[int, int | None]  # number of an image, and seed of its crop


class StreamedBatches(ShardedBatches[FolderData]):
    """A `BatchSource` of image files in folders or shards, of any number and size.

    The crop of an image depends only on the seed, the epoch and the number of the image, so that
    neither the number of workers nor an interruption changes a training.

    Attributes:
        broken: Files that could not be read so far, with the reasons, in order of appearance. They
            are left out of their batches.
    """

    def __init__(
        self,
        data: FolderData,
        resolution: int,
        size: int,
        seed: int,
        crop: float = 1.0,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
        pinned: bool = False,
    ) -> None:
        """Take the files; nothing is decoded yet.

        Args:
            data: Image files.
            resolution: Side of the images, in pixels.
            size: Images per step, of all processes together.
            seed: Random seed of the order and of the crops.
            crop: Minimum share of an image's area that a training crop keeps; 1 for no cropping.
            workers: Number of processes that decode images; 0 to decode in this process.
            rank: Number of this training process, from 0.
            world: Number of training processes.
            pinned: Whether batches are in pinned memory, from which a GPU copies them by itself.
        """
        super().__init__(data, size, seed, rank=rank, world=world)
        self._pinned = pinned
        self.resolution, self.crop, self.workers = resolution, crop, workers
        self.broken: dict[str, None] = {}
        self._has_said = False  # that there is no room in shared memory

    def statistics(self) -> tuple[Tensor, Tensor]:
        """See `BatchSource.statistics`; they are estimated from a sample of the images."""
        order = epoch_order(self.data.count("train"), self.seed, 0)
        sample = order[:STATISTICS_IMAGES].tolist()
        batches = [sample[i : i + 64] for i in range(0, len(sample), 64)]
        items: list[list[Item]] = [[(number, None) for number in batch] for batch in batches]
        sums = torch.zeros(2, 3, dtype=torch.float64)
        pixels = 0
        for images, _ in self._loaded("train", items):
            values = images.double() / 255
            sums += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
            pixels += values[:, 0].numel()
        mean = sums[0] / max(1, pixels)
        deviation = (sums[1] / max(1, pixels) - mean**2).clamp_min(1e-6).sqrt()
        return mean.float(), deviation.float()

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.train`."""
        batches = [
            [(n, derive_seed(self.seed, epoch, n)) for n in numbers.tolist()]
            for numbers in self.steps(epoch, begin)
        ]
        yield from self._loaded("train", batches, refilled=True)

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.evaluate`; images are cropped to their central square."""
        batches: list[list[Item]] = [
            [(n, None) for n in range(chunk.start, chunk.stop)] for chunk in self.chunks(part)
        ]
        yield from self._loaded(part, batches)

    def _loaded(
        self, part: Part, batches: Sequence[Sequence[Item]], refilled: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Decode batches of items, and leave out files that cannot be read.

        Args:
            part: Split of the images.
            batches: Items of each batch.
            refilled: Whether other images are repeated in their place, so that batches keep their
                size.
        """
        loader: DataLoader[Any] = DataLoader(
            _ImageFiles(self.data.files[part], self.resolution, self.crop),
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=min(self.workers, len(batches)),
            collate_fn=_collate,
            pin_memory=self._pinned,
        )
        for images, labels, broken in _told(loader):
            self.broken |= dict.fromkeys(broken)
            if isinstance(images, np.ndarray):
                self._say_no_room()
                images = torch.from_numpy(images)
                images = images.pin_memory() if self._pinned else images
            labels = torch.as_tensor(labels)
            if not len(labels):
                continue
            if refilled and broken:
                repeated = torch.arange(len(labels) + len(broken)) % len(labels)
                images, labels = images[repeated], labels[repeated]
            yield images, labels

    def _say_no_room(self) -> None:
        if not self._has_said and self.rank == 0:
            _logger.warning(
                "note: shared memory (/dev/shm) has no room for the batches of %d worker "
                "processes, so that some are copied through pipes, which is slower; %s",
                self.workers, _MORE_SHARED_MEMORY,
            )  # fmt: skip
        self._has_said = True


def _told(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the batches of a loader; tell in one line why its processes fail.

    Raises:
        MixnasError: If the processes cannot be started, or one dies.
    """
    try:
        batches = iter(loader)
    except OSError as error:  # their queues need a little shared memory, too
        raise MixnasError(
            f"the processes that decode images cannot be started ({error}); shared memory "
            f"(/dev/shm) may be full: {_MORE_SHARED_MEMORY}"
        ) from None
    while True:
        with _telling():
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MixnasError(
            f"a process that decodes images died ({reason_of(error)}); the memory or the shared "
            f"memory (/dev/shm) may be too small: {_MORE_SHARED_MEMORY}"
        ) from None


class _ImageFiles(Dataset[tuple[Tensor, int] | str]):
    """Decodes one image at a time; a file that cannot be read gives the reason instead."""

    def __init__(self, files: Sequence[Entry], resolution: int, crop: float) -> None:
        self._files, self._resolution, self._crop = files, resolution, crop

    def __getitem__(self, item: Item) -> tuple[Tensor, int] | str:
        number, seed = item
        file, label = self._files[number]
        crop = None
        if seed is not None and self._crop < 1:
            crop = RandomBox(seed, self._crop)
        pixels = read_image(file, self._resolution, crop)
        if isinstance(pixels, str):
            return printable(f"{file}: {pixels}")
        return torch.from_numpy(pixels), label


class RandomBox:
    """Draws a crop of random area and aspect ratio (Szegedy et al. 2015, section 6)."""

    def __init__(self, seed: int, min_area: float) -> None:
        """Prepare the crop of one image.

        Args:
            seed: Random seed.
            min_area: Minimum share of the image's area, 0..1.
        """
        self._rng, self._min_area = random.Random(seed), min_area

    def __call__(self, width: int, height: int) -> Box:
        """Draw a crop; if none fits after some tries, return the central square.

        Args:
            width: Width of the image, in pixels.
            height: Height of the image, in pixels.

        Returns:
            Left, upper, right and lower edge, in pixels.
        """
        log_ratio = math.log(MAX_ASPECT_RATIO)
        for _ in range(MAX_TRIES):
            area = width * height * self._rng.uniform(self._min_area, 1)
            ratio = math.exp(self._rng.uniform(-log_ratio, log_ratio))
            crop_width, crop_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if crop_width <= width and crop_height <= height:
                left = self._rng.uniform(0, width - crop_width)
                upper = self._rng.uniform(0, height - crop_height)
                return left, upper, left + crop_width, upper + crop_height
        side = min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        return left, upper, left + side, upper + side


Batch = tuple[Tensor | np.ndarray, Tensor | np.ndarray, list[str]]


def _collate(items: list[tuple[Tensor, int] | str]) -> Batch:
    """Return images (B, 3, R, R), labels (B,), and why other files could not be read.

    In a worker process, the tensors are in shared memory. If that has no room, which the process
    that sends them could not tell, arrays are returned: they go through a pipe.
    """
    decoded = [item for item in items if not isinstance(item, str)]
    broken = [item for item in items if isinstance(item, str)]
    labels = torch.tensor([label for _, label in decoded], dtype=torch.int64)
    images = torch.stack([image for image, _ in decoded]) if decoded else torch.empty(0)
    if get_worker_info() is not None:
        try:
            images.share_memory_()  # type: ignore[no-untyped-call]
            labels.share_memory_()  # type: ignore[no-untyped-call]
        except RuntimeError:
            return images.numpy(), labels.numpy(), broken
    return images, labels, broken
