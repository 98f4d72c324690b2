"""Batches of image files that are decoded as they are needed, by worker processes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.data import FolderData, Part
from nas.data.folder import Box, read_image
from nas.train.batches import ShardedBatches, epoch_order, mixed_seed

RATIO = 4 / 3  # of a crop's sides, at most (Szegedy et al. 2015)
TRIES = 10  # at a crop of the wanted area that fits into the image
SAMPLED = 1_024  # images that the statistics are taken of
Item = tuple[int, int | None]  # an image's number, and the seed of its crop
Batch = tuple[Tensor, Tensor, list[str]]


class StreamedBatches(ShardedBatches[FolderData]):
    """A `BatchSource` of image files of any number and size.

    What an image's crop is follows from the seed, the epoch and its number alone, so that neither
    the number of workers nor an interruption changes a training.

    Attributes:
        broken: files that could not be read so far, and why; they are left out of their batches.
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
    ) -> None:
        """Take the files.

        Args:
            data: the files.
            resolution: side of the images in pixels.
            size: images a step, of all processes together.
            seed: of order and crops.
            crop: smallest share of an image's area that a training crop keeps; 1 for none.
            workers: processes that decode; 0 to decode in this one.
            rank: which of the training processes this is.
            world: how many there are.
        """
        super().__init__(data, size, seed, rank, world)
        self.resolution, self.crop, self.workers = resolution, crop, workers
        self.broken: dict[str, None] = {}

    def statistics(self) -> tuple[Tensor, Tensor]:
        """See `BatchSource.statistics`: of some of the images."""
        drawn = epoch_order(self.data.count("train"), self.seed, 0)[:SAMPLED].tolist()
        batches = [drawn[i : i + 64] for i in range(0, len(drawn), 64)]
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
            [(n, mixed_seed(self.seed, epoch, n)) for n in numbers.tolist()]
            for numbers in self.steps(epoch, begin)
        ]
        yield from self._loaded("train", batches)

    def evaluate(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.evaluate`: the middle square of every image."""
        batches: list[list[Item]] = [
            [(n, None) for n in range(chunk.start, chunk.stop)] for chunk in self.chunks(part)
        ]
        yield from self._loaded(part, batches)

    def _loaded(
        self, part: Part, batches: Sequence[Sequence[Item]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        loader: DataLoader[Any] = DataLoader(
            _Files(self.data.files[part], self.resolution, self.crop),
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=min(self.workers, len(batches)),
            collate_fn=_collated,
            pin_memory=torch.cuda.is_available(),
        )
        for images, labels, broken in loader:
            self.broken |= dict.fromkeys(broken)
            if not len(labels):
                continue
            if part == "train" and broken:  # others stand in, so that batches keep their size
                again = torch.arange(len(labels) + len(broken)) % len(labels)
                images, labels = images[again], labels[again]
            yield images, labels


class _Files(Dataset[tuple[Tensor, int] | str]):
    """Decodes one image at a time."""

    def __init__(self, files: Sequence[tuple[Path, int]], resolution: int, crop: float) -> None:
        self._files, self._resolution, self._crop = files, resolution, crop

    def __getitem__(self, item: Item) -> tuple[Tensor, int] | str:
        number, seed = item
        path, label = self._files[number]
        crop = None
        if seed is not None and self._crop < 1:
            crop = RandomBox(seed, self._crop)
        pixels = read_image(path, self._resolution, crop)
        if isinstance(pixels, str):
            return f"{path}: {pixels}"
        return torch.from_numpy(pixels.copy()), label


class RandomBox:
    """A random part of an image: area and sides' ratio are drawn (Szegedy et al. 2015, 6)."""

    def __init__(self, seed: int, share: float) -> None:
        """Take the smallest share of the area."""
        self._rng, self._share = random.Random(seed), share

    def __call__(self, width: int, height: int) -> Box:
        """Return left, upper, right and lower end."""
        for _ in range(TRIES):
            area = width * height * self._rng.uniform(self._share, 1)
            ratio = math.exp(self._rng.uniform(-math.log(RATIO), math.log(RATIO)))
            wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if wide <= width and high <= height:
                left = self._rng.uniform(0, width - wide)
                upper = self._rng.uniform(0, height - high)
                return left, upper, left + wide, upper + high
        side = min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        return left, upper, left + side, upper + side


def _collated(found: list[tuple[Tensor, int] | str]) -> Batch:
    good = [item for item in found if not isinstance(item, str)]
    broken = [item for item in found if isinstance(item, str)]
    labels = torch.tensor([label for _, label in good], dtype=torch.int64)
    images = torch.stack([image for image, _ in good]) if good else torch.empty(0)
    return images, labels, broken
