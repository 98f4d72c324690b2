"""Which way a data set's images reach a training: from memory, or streamed from files."""

from __future__ import annotations

from typing import Literal

from nas.data import DataSource, FolderData
from nas.progress import Step
from nas.train.batches import Batches, BatchSource
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.streaming import StreamedBatches

GIGABYTE = 1 << 30
CACHED_BYTES = 8 * GIGABYTE  # of decoded images that are kept in the cache; more is streamed
ReadingMode = Literal["auto", "memory", "stream"]


def open_source(
    data: DataSource,
    resolution: int,
    recipe: Recipe,
    seed: int,
    placement: Placement,
    reading: ReadingMode = "auto",
    workers: int = 2,
    step: Step | None = None,
) -> tuple[BatchSource, Recipe, list[str]]:
    """Return a training's images, and what is left of the recipe to do with them.

    Files are streamed where they are many, or where training crops are cut from them: a crop of
    the whole image shows more than one of a small square.

    Args:
        data: the data set.
        resolution: side of the images in pixels.
        recipe: how to train.
        seed: of order and crops.
        placement: whose share of every batch is wanted.
        reading: ``memory`` or ``stream`` to decide otherwise; what is in memory stays there.
        workers: processes that decode streamed images.
        step: told how many images are decoded.

    Returns:
        The images; the recipe without what the source does; what a user should know.
    """
    share = (placement.rank, placement.world)
    if isinstance(data, FolderData) and _streams(data, resolution, recipe, reading):
        source = StreamedBatches(
            data, resolution, recipe.batch_size, seed, recipe.crop, workers, *share
        )
        return source, recipe.replace(crop=1.0), []
    images = data.at(resolution, step)
    remarks = [images.remark()] if images.broken else []
    return Batches(images, recipe.batch_size, seed, *share), recipe, remarks


def _streams(data: FolderData, resolution: int, recipe: Recipe, reading: ReadingMode) -> bool:
    if reading != "auto":
        return reading == "stream"
    count = sum(len(files) for files in data.files.values())
    return recipe.crop < 1 or 3 * count * resolution**2 > CACHED_BYTES
