import pytest

from nas.data import load_data
from nas.train.batches import Batches
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import open_batches
from nas.train.streaming import StreamedBatches


def test_small_sets_are_kept_in_memory(folder):
    source, _, remarks = open_batches(folder, 16, Recipe(), 0, Placement())
    assert not isinstance(source, StreamedBatches)
    assert "1 of 61 images cannot be read" in remarks[0]
    streamed, _, _ = open_batches(folder, 16, Recipe(), 0, Placement(), reading="stream")
    assert isinstance(streamed, StreamedBatches)


def test_sets_are_streamed_where_they_are_cropped_or_large(folder, monkeypatch):
    def streams(recipe, resolution=16, **options):
        batches, left, _ = open_batches(folder, resolution, recipe, 0, Placement(), **options)
        assert left.crop == (1.0 if isinstance(batches, StreamedBatches) else recipe.crop)
        return isinstance(batches, StreamedBatches)

    assert streams(Recipe(crop=0.9))
    assert not streams(Recipe(crop=0.9), reading="memory")
    decoded = 128 + 3 * 61 * 16 * 16  # with the header of the file
    monkeypatch.setattr("nas.train.sources.MAX_CACHED_BYTES", decoded)
    assert not streams(Recipe())
    monkeypatch.setattr("nas.train.sources.MAX_CACHED_BYTES", decoded - 1)
    assert streams(Recipe())


def test_what_is_in_memory_stays_there():
    batches, recipe, remarks = open_batches(
        load_data("digits"), 12, Recipe(crop=0.5), 0, Placement(), reading="stream"
    )
    assert isinstance(batches, Batches)
    assert batches.data.resolution == 12
    assert recipe.crop == 0.5  # left to the augmentation
    assert remarks == []


@pytest.mark.parametrize("reading", ["memory", "stream"])
def test_processes_get_their_shares(folder, reading):
    placement = Placement()
    placement.rank, placement.world = 1, 2
    batches, _, _ = open_batches(
        folder, 16, Recipe(batch_size=8), 5, placement, reading=reading, workers=3
    )
    assert (batches.size, batches.seed, batches.rank, batches.world) == (8, 5, 1, 2)
    assert getattr(batches, "workers", 3) == 3
