"""Batches of images: how they are assigned to steps, and batches of images held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from nas.data import DataSource, ImageData, Part

EVALUATION_BATCH = 128
Data = TypeVar("Data", bound=DataSource)


class BatchSource(Protocol):
    """Provides a training with batches of uint8 images (B, 3, H, W) and labels (B,)."""

    def __len__(self) -> int:
        """Return the number of steps of one epoch."""
        ...

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training part by channel, (3,) in 0..1."""
        ...

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch from step `begin` on; they are the same at every call."""
        ...

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images of a part in order, in batches."""
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
        """Take the data; a batch larger than the training part is reduced to that part."""
        self.data = data
        self.size = max(1, min(size, data.count("train")))
        self.seed = seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        """Return the number of steps of one epoch.

        The incomplete last batch is dropped because batch normalization needs enough images.
        """
        return max(1, self.data.count("train") // self.size)

    def epochs(self, images: int, most: int) -> float:
        """Return the number of epochs in which `images` images are seen, but at most `most`."""
        return min(most, images / (len(self) * self.size))

    def steps(self, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        """Yield the indices of this process's images at each step of an epoch."""
        order = epoch_order(self.data.count("train"), self.seed, epoch)
        for step in range(begin, len(self)):
            yield order[step * self.size : (step + 1) * self.size][self.rank :: self.world]

    def chunks(self, part: Part) -> Iterator[slice]:
        """Yield the slices of a part that this process evaluates, in order."""
        count, stride = self.data.count(part), EVALUATION_BATCH * self.world
        for start in range(EVALUATION_BATCH * self.rank, count, stride):
            yield slice(start, min(start + EVALUATION_BATCH, count))


class Batches(ShardedBatches[ImageData]):
    """A `BatchSource` of images in memory, which have the resolution to train at."""

    def statistics(self) -> tuple[Tensor, Tensor]:
        """See `BatchSource.statistics`."""
        return self.data.statistics()

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.train`."""
        images, labels = self.data.images["train"], self.data.labels["train"]
        for index in self.steps(epoch, begin):
            yield images[index], labels[index]

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.evaluate`."""
        images, labels = self.data.images[part], self.data.labels[part]
        for chunk in self.chunks(part):
            yield images[chunk], labels[chunk]


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
