"""Batches of images that are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from nas.data import ImageData, Part

EVALUATED_AT_ONCE = 128


class Source(Protocol):
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


class Batches:
    """Batches of images in memory.

    Where several processes train together, each takes its share of every batch.
    """

    def __init__(
        self, data: ImageData, size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        """Take the data.

        Args:
            data: at the resolution to train at.
            size: images a step, of all processes together.
            seed: of the order.
            rank: which of the processes this is.
            world: how many there are.
        """
        self.data = data
        self.size = max(1, min(size, len(data.labels["train"])))
        self.seed = seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        """Steps of one epoch; the last, smaller batch is left out, since BN needs company."""
        return max(1, len(self.data.labels["train"]) // self.size)

    def epochs(self, images: int) -> float:
        """Return how many epochs show so many images."""
        return images / (len(self) * self.size)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """See `Source.statistics`."""
        return self.data.statistics()

    def train(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Source.train`."""
        images, labels = self.data.images["train"], self.data.labels["train"]
        order = epoch_order(len(labels), self.seed, epoch)
        for step in range(begin, len(self)):
            index = order[step * self.size : (step + 1) * self.size][self.rank :: self.world]
            yield images[index], labels[index]

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Source.evaluate`."""
        images, labels = self.data.images[part], self.data.labels[part]
        stride = EVALUATED_AT_ONCE * self.world
        for start in range(EVALUATED_AT_ONCE * self.rank, len(labels), stride):
            chunk = slice(start, start + EVALUATED_AT_ONCE)
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
