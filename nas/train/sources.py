"""The choice between images decoded once and kept, and images streamed from files."""

from __future__ import annotations

from rich.console import Console

from nas import cli
from nas.data import DataSource, FolderData, described
from nas.progress import Step
from nas.train.batches import Batches, BatchSource, placed
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.settings import ReadingMode
from nas.train.streaming import StreamedBatches
from nas.units import GIBIBYTE

MAX_CACHED_BYTES = 8 * GIBIBYTE  # size up to which decoded images are kept in the cache


def announce(data: DataSource, console: Console) -> None:
    """Tell the user what was found in a data set, and read its files once to know them again.

    Args:
        data: Data set.
        console: Console for what was found, and for the progress of reading.
    """
    for line in described(data):
        console.print(line, soft_wrap=True)
    if isinstance(data, FolderData) and not data.is_known():
        with cli.progress_bar(console, f"reading the files of {data.name} once") as step:
            data.fingerprint(step)


def open_batches(
    data: DataSource,
    resolution: int,
    recipe: Recipe,
    seed: int,
    placement: Placement,
    reading: ReadingMode = "auto",
    workers: int = 2,
    step: Step | None = None,
) -> tuple[BatchSource, Recipe, list[str]]:
    """Return the batches of a training run, and the part of the recipe that is left to apply.

    Image files are streamed if there are many of them, if the disk has no room for their pixels,
    or if training crops are cut from them: a crop of the original image shows more detail than a
    crop of a small square.

    Args:
        data: Data set.
        resolution: Side of the images, in pixels.
        recipe: How to train.
        seed: Random seed of the order and of the crops.
        placement: Process whose share of each batch is returned.
        reading: ``memory`` or ``stream`` to override the choice for image files.
        workers: Number of processes that decode streamed images.
        step: Called with the number of decoded images and their total.

    Returns:
        The batches, the recipe without what they have already applied, and remarks for the user.

    Raises:
        MixnasError: If a class has too few images that can be read, or a split has none.
    """
    rank, world = placement.rank, placement.world
    if isinstance(data, FolderData) and _should_stream(data, resolution, recipe, reading):
        data.check_readable()
        batches = StreamedBatches(
            data=data,
            resolution=resolution,
            size=recipe.batch_size,
            seed=seed,
            crop=recipe.crop,
            workers=workers,
            rank=rank,
            world=world,
            pinned=placement.kind == "cuda",
        )
        return batches, recipe.replace(crop=1.0), data.remarks()
    images = data.at(resolution, step)
    remarks = images.remarks()
    images, staged = placed(images, placement.device)
    in_memory = Batches(images, recipe.batch_size, seed, rank=rank, world=world, staged=staged)
    return in_memory, recipe, remarks


def _should_stream(data: FolderData, resolution: int, recipe: Recipe, reading: ReadingMode) -> bool:
    if reading != "auto":
        return reading == "stream"
    if recipe.crop < 1 or data.cached_bytes(resolution) > MAX_CACHED_BYTES:
        return True
    return not data.cache_fits(resolution)
