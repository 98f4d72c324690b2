"""Batches of images: how they are dealt out, and those of images that are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from nas.data import DataSource, ImageData, Part

EVALUATED_AT_ONCE = 128
Data = TypeVar("Data", bound=DataSource)


class BatchSource(Protocol):
    """Gives a training its images: uint8 (B, 3, H, W), with labels (B,)."""

    def __len__(self) -> int:
        """Steps of one epoch."""
        ...

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training part by channel, (3,) in 0..1."""
        ...

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the steps of an epoch, from step `begin` on; the same ones every time."""
        ...

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a part in order."""
        ...


class ShardedBatches(Generic[Data]):
    """How images are dealt out to steps; of processes that train together, each has its share.

    Attributes:
        data: the images.
        size: images a step, of all processes together.
        seed: of the order.
        rank: which of the processes this is.
        world: how many there are.
    """

    def __init__(self, data: Data, size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        """Take the data; a batch larger than the training part is that part."""
        self.data = data
        self.size = max(1, min(size, data.count("train")))
        self.seed = seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        """Steps of one epoch; the last, smaller batch is left out, since BN needs company."""
        return max(1, self.data.count("train") // self.size)

    def epochs(self, images: int, most: int) -> float:
        """Return how many epochs show so many images, but `most` at most."""
        return min(most, images / (len(self) * self.size))

    def steps(self, epoch: int, begin: int = 0) -> Iterator[Tensor]:
        """Yield the numbers of this process's images in every step of an epoch."""
        order = epoch_order(self.data.count("train"), self.seed, epoch)
        for step in range(begin, len(self)):
            yield order[step * self.size : (step + 1) * self.size][self.rank :: self.world]

    def chunks(self, part: Part) -> Iterator[slice]:
        """Yield this process's share of a part, in order, as it is evaluated."""
        count, stride = self.data.count(part), EVALUATED_AT_ONCE * self.world
        for start in range(EVALUATED_AT_ONCE * self.rank, count, stride):
            yield slice(start, min(start + EVALUATED_AT_ONCE, count))


class Batches(ShardedBatches[ImageData]):
    """Batches of images in memory, at the resolution to train at."""

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
    """Return the order of `count` images in an epoch, which nothing else changes."""
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    return torch.randperm(count, generator=generator)


def mixed_seed(*numbers: int) -> int:
    """Return one seed for several numbers; neighbours give unlike ones."""
    value = 0
    for number in numbers:  # splitmix64 (Steele et al. 2014)
        value = (value + number + 0x9E3779B97F4A7C15) % (1 << 64)
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % (1 << 64)
        value ^= value >> 31
    return value >> 1  # torch and numpy take 63 bits alike
