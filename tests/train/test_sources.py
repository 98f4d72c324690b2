import io
import shutil

import pytest
from rich.console import Console

from nas.data import load_data
from nas.errors import MixnasError
from nas.train.batches import Batches
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import announce, open_batches
from nas.train.streaming import StreamedBatches
from tests.data.writing import write_folder


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


def test_what_was_found_is_told_and_files_are_read_once(folder, monkeypatch):
    console = Console(file=io.StringIO(), width=500)
    announce(folder, console)
    assert console.file.getvalue().startswith(f"{folder.name}: 2 classes (blue, red), 61 images: ")
    read = []
    monkeypatch.setattr(type(folder), "is_known", lambda _: True)
    monkeypatch.setattr(type(folder), "fingerprint", lambda *_: read.append(1))
    announce(folder, console)
    assert read == []
    monkeypatch.setattr(type(folder), "is_known", lambda _: False)
    announce(folder, console)
    assert read == [1]


@pytest.mark.parametrize("reading", ["memory", "stream"])
def test_a_part_without_images_that_can_be_read_is_refused_before_training(tmp_path, reading):
    root = write_folder(tmp_path / "pets", ("train", "val", "test"))
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(MixnasError, match="none of the 30 validation images can be read"):
        open_batches(load_data(str(root)), 16, Recipe(), 0, Placement(), reading)


@pytest.mark.parametrize("reading", ["memory", "stream"])
def test_images_that_are_in_two_parts_are_told_before_training(tmp_path, reading):
    root = write_folder(tmp_path / "pets", ("train", "val", "test"))
    shutil.copy(root / "train" / "ant" / "000.png", root / "test" / "ant" / "000.png")
    _, _, (remark,) = open_batches(load_data(str(root)), 16, Recipe(), 0, Placement(), reading)
    assert remark.startswith("1 of 30 test images are train images as well, byte by byte (")
