"""Batches of images: how they are assigned to steps, and batches of images held in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from nas.data import DataSource, ImageData, Part
from nas.errors import MixnasError
from nas.train.placement import has_room_for
from nas.units import number_of

BATCHES_AHEAD = 3  # gathered while the device computes
EVALUATION_BATCH = 128
Data = TypeVar("Data", bound=DataSource)


class BatchSource(Protocol):
    """Provides a training with batches of uint8 images (B, 3, H, W) and labels (B,)."""

    def __len__(self) -> int:
        """Return the number of steps of one epoch."""
        ...

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training split by channel, (3,) in 0..1."""
        ...

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch from step `begin` on; they are the same at every call."""
        ...

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images of a split in order, in batches."""
        ...


class ShardedBatches(Generic[Data]):
    """Assigns images to steps, and divides each step among the processes that train together.

    Attributes:
        data: The images.
        size: Images per step, of all processes together.
        seed: Random seed of the order of the images.
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    def __init__(self, data: Data, size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        """Take the data; a batch larger than the training split is reduced to its size.

        Raises:
            MixnasError: If a batch leaves a process fewer than two images.
        """
        self.data = data
        self.size = min(size, data.count("train"))
        if self.size < 2 * world:
            raise MixnasError(
                f"a batch has {number_of(self.size, 'image')}, but batch normalization needs at "
                "least "
                f"{2 * world}, two in each process; give more training images, a larger "
                "batch_size, or fewer processes"
            )
        self.seed = seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        """Return the number of steps of one epoch.

        The incomplete last batch is dropped because batch normalization needs enough images.
        """
        return self.data.count("train") // self.size

    def epochs(self, images: int, most: int) -> float:
        """Return the number of epochs in which `images` images are seen, but at most `most`."""
        return min(most, images / (len(self) * self.size))

    def steps(self, epoch: int, begin: int = 0, device: Any = "cpu") -> Iterator[Tensor]:
        """Yield the indices of this process's images at each step of an epoch, on a device."""
        order = epoch_order(self.data.count("train"), self.seed, epoch).to(device)
        for step in range(begin, len(self)):
            yield order[step * self.size : (step + 1) * self.size][self.rank :: self.world]

    def chunks(self, part: Part) -> Iterator[slice]:
        """Yield the slices of a split that this process evaluates, in order."""
        count, stride = self.data.count(part), EVALUATION_BATCH * self.world
        for start in range(EVALUATION_BATCH * self.rank, count, stride):
            yield slice(start, min(start + EVALUATION_BATCH, count))


class Batches(ShardedBatches[ImageData]):
    """A `BatchSource` of images in memory, which have the resolution to train at.

    The images are wherever the data set's tensors are: in main memory, or on the device (see
    `placed`). Their order does not depend on it.
    """

    def __init__(
        self,
        data: ImageData,
        size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        staged: bool = False,
    ) -> None:
        """Take the images; see `ShardedBatches`.

        Args:
            data: Images at the resolution to train at.
            size: Images per step, of all processes together.
            seed: Random seed of the order of the images.
            rank: Number of this process, from 0.
            world: Number of processes.
            staged: Whether a thread gathers batches ahead, in pinned memory, from which they are
                copied to a GPU while it computes.
        """
        super().__init__(data, size, seed, rank=rank, world=world)
        self._staged = staged

    def statistics(self) -> tuple[Tensor, Tensor]:
        """See `BatchSource.statistics`."""
        return self.data.statistics()

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.train`."""
        device = self.data.images["train"].device
        return self._gathered("train", self.steps(epoch, begin, device))

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.evaluate`."""
        return self._gathered(part, self.chunks(part))

    def _gathered(
        self, part: Part, indices: Iterator[Tensor] | Iterator[slice]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.data.images[part], self.data.labels[part]
        if not self._staged:
            for index in indices:
                yield images[index], labels[index]
            return

        def gather(index: Any) -> tuple[Tensor, Tensor]:
            return images[index].pin_memory(), labels[index].pin_memory()

        with ThreadPoolExecutor(1) as pool:
            ahead = deque(pool.submit(gather, index) for index in islice(indices, BATCHES_AHEAD))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(gather, index) for index in islice(indices, 1))
                yield batch


def placed(data: ImageData, device: str) -> tuple[ImageData, bool]:
    """Move a data set to the device that trains on it, if it has room for it.

    Args:
        data: Images in main memory.
        device: Device that trains, as torch names it.

    Returns:
        The data set; and whether batches of it should be staged (see `Batches`), because it stays
        in main memory while a GPU trains.
    """
    if device == "cpu":
        return data, False
    size = sum(images.numel() for images in data.images.values())  # bytes, one per value
    if has_room_for(size, device):
        return data.to(device), False
    return data, device.startswith("cuda")


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of `count` images in an epoch; it depends on the arguments only."""
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch))
    return torch.randperm(count, generator=generator)


def derive_seed(*numbers: int) -> int:
    """Return one 63-bit seed derived from several numbers, such as a seed and a step.

    Neighboring numbers give unrelated seeds. The generator is splitmix64 (Steele et al. 2014).
    """
    # numpy's SeedSequence would serve as well, but every order of images, augmentation and score
    # follows from these values: with others, earlier runs could be neither resumed nor compared.
    value = 0
    for number in numbers:
        value = (value + number + 0x9E3779B97F4A7C15) % (1 << 64)
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % (1 << 64)
        value ^= value >> 31
    return value >> 1  # both torch and numpy accept 63 bits
