import os

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import load_data
from nas.errors import MixnasError
from nas.train import streaming
from nas.train.batches import derive_seed
from nas.train.distillation import FixedTeacher
from nas.train.loop import Trainer
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import open_batches
from nas.train.streaming import RandomBox, StreamedBatches, _collate
from tests.data.writing import samples, write_shard


def labels_and_sums(batches):
    return [(labels.tolist(), images.sum().item()) for images, labels in batches]


def test_neither_workers_nor_an_interruption_change_the_batches(folder):
    none, two = (StreamedBatches(folder, 32, 8, 0, 0.3, workers=n) for n in (0, 2))
    whole = labels_and_sums(none.train(1))
    assert labels_and_sums(two.train(1)) == whole
    assert labels_and_sums(none.train(1, begin=2)) == whole[2:]
    assert labels_and_sums(none.train(0)) != whole


def test_images_in_shards_are_streamed(tmp_path):
    data = load_data(str(write_shard(tmp_path / "a.tar", samples(60))))
    none, two = (StreamedBatches(data, 16, 8, 0, 0.5, workers=n) for n in (0, 2))
    for (a, b), (c, d) in zip(none.train(0), two.train(0), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert sum(len(labels) for _, labels in none.evaluate("test")) == 12


def test_evaluation_goes_through_a_part_once_and_names_what_is_broken(folder):
    source = StreamedBatches(folder, 32, 8, 0, workers=0)
    parts = {part: [label for _, label in folder.files[part]] for part in folder.files}
    seen = {
        part: [n for _, labels in source.evaluate(part) for n in labels.tolist()] for part in parts
    }
    assert sum(len(labels) for labels in seen.values()) == 60
    assert sum(len(labels) for labels in parts.values()) == 61
    assert len(source.broken) == 1
    assert "broken.png: UnidentifiedImageError" in next(iter(source.broken))


def test_broken_images_leave_batches_their_size(folder):
    source = StreamedBatches(folder, 16, 4, 0, workers=0)
    sizes = [len(labels) for epoch in range(3) for _, labels in source.train(epoch)]
    assert set(sizes) == {4}


def test_statistics_are_those_of_the_pixels(folder):
    source = StreamedBatches(folder, 16, 8, 0, workers=0)
    mean, std = source.statistics()
    whole_mean, whole_std = folder.at(16).statistics()
    assert torch.allclose(mean, whole_mean, atol=1e-3)
    assert torch.allclose(std, whole_std, atol=1e-3)


def test_a_network_learns_from_streamed_images(folder, tmp_path):
    torch.manual_seed(0)
    recipe = Recipe(epochs=6, batch_size=8, crop=0.5, flip=True, learning_rate=0.05)
    source, left, _ = open_batches(folder, 16, recipe, 0, Placement(), workers=0)
    assert isinstance(source, StreamedBatches)
    assert left.crop == 1  # it was cropped when it was read
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    trainer = Trainer(model, source, left, 0)
    for _ in trainer.steps():
        pass
    assert trainer.evaluate("validation").accuracy > 0.9


def test_a_crop_lies_inside_and_keeps_its_share():
    for seed in range(300):
        left, upper, right, lower = RandomBox(seed, 0.2)(90, 60)
        assert 0 <= left < right <= 90.001
        assert 0 <= upper < lower <= 60.001
        wide, high = right - left, lower - upper
        assert 0.2 * 90 * 60 * 0.999 <= wide * high <= 90 * 60 * 1.001
        assert 0.74 < wide / high < 1.34


def test_a_crop_that_never_fits_is_the_central_square():
    """Of an image 100 times as wide as high, the whole area at a ratio below 4/3 cannot be cut."""
    assert RandomBox(0, 1.0)(1000, 10) == (495.0, 0.0, 505.0, 10.0)


def test_a_crop_follows_from_its_seed():
    assert RandomBox(7, 0.2)(90, 60) == RandomBox(7, 0.2)(90, 60)
    assert RandomBox(7, 0.2)(90, 60) != RandomBox(8, 0.2)(90, 60)


@pytest.fixture(params=["jpg", "png", "webp", "tif"])
def turned(tmp_path, request):
    """Images that are stored in all eight orientations; upright, all are brighter below."""
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[12:] = 200
    pixels[12:, 12:] = 250
    upright = Image.fromarray(pixels)
    undo = [None, 0, 3, 1, 5, 2, 6, 4]  # methods of Image.transpose
    for name in ("ant", "bee"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(40):
            tag = Image.Exif()
            tag[0x0112] = index % 8 + 1
            method = undo[index % 8]
            stored = upright if method is None else upright.transpose(Image.Transpose(method))
            path = tmp_path / "pets" / name / f"{index:02}.{request.param}"
            stored.save(path, exif=tag, **({"lossless": True} if request.param == "webp" else {}))
    return load_data(str(tmp_path / "pets"))


def test_turned_images_are_upright_in_streams_as_in_searches(turned):
    cached = turned.at(24)
    source = StreamedBatches(turned, 24, 8, 0, workers=0)
    for part in ("validation", "test"):
        streamed = torch.cat([images for images, _ in source.evaluate(part)])
        assert torch.equal(streamed, cached.images[part])
        assert (streamed[:, :, :10] < 10).all()
        assert (streamed[:, :, 14:, :10] - 200.0).abs().max() < 10
        assert (streamed[:, :, 14:, 14:] - 250.0).abs().max() < 10
    order = [n for numbers in source.steps(0) for n in numbers.tolist()]
    streamed = torch.cat([images for images, _ in source.train(0)])
    assert torch.equal(streamed, cached.images["train"][order])


def test_a_teacher_sees_turned_images_upright(turned):
    seen = []

    class Teacher(torch.nn.Module):
        def forward(self, images):
            seen.append(images)
            return torch.zeros(len(images), 2)

    class Student(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, images):
            return self.layer(images.mean((2, 3)))

    recipe = Recipe(epochs=1, batch_size=8, distill=0.5)
    source, recipe, _ = open_batches(turned, 24, recipe, 0, Placement(), "stream", workers=0)
    teacher = FixedTeacher(Teacher(), Placement(), mean=(0.0,) * 3, std=(1.0,) * 3)
    trainer = Trainer(Student(), source, recipe, 0, teacher=teacher)
    assert list(trainer.steps())
    images = torch.cat(seen) * 255
    assert len(images) >= 40
    assert images[:, :, :10].abs().max() < 10
    assert (images[:, :, 14:, :10] - 200).abs().max() < 10
    assert (images[:, :, 14:, 14:] - 250).abs().max() < 10


def test_crops_are_always_the_same():
    """Changing them makes earlier trainings incomparable: say so in the changelog."""
    assert RandomBox(0, 0.2)(100, 80) == pytest.approx((4.147, 0.594, 94.286, 78.3), abs=1e-3)


def test_items_become_a_batch_without_those_that_are_broken():
    one, two = torch.full((3, 2, 2), 1, dtype=torch.uint8), torch.full((3, 2, 2), 2)
    images, labels, broken = _collate([(one, 4), "why", (two.to(torch.uint8), 5)])
    assert images.shape == (2, 3, 2, 2)
    assert images[:, 0, 0, 0].tolist() == [1, 2]
    assert labels.tolist() == [4, 5]
    assert labels.dtype == torch.int64
    assert broken == ["why"]
    images, labels, broken = _collate(["a", "b"])
    assert (len(images), len(labels), broken) == (0, 0, ["a", "b"])


def test_other_images_of_the_batch_take_the_place_of_broken_ones(folder, monkeypatch):
    source = StreamedBatches(folder, 16, 4, 0, workers=0)
    images = torch.arange(3).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    loaded = (images, torch.tensor([5, 6, 7]), ["one", "two"])
    nothing = (torch.empty(0), torch.empty(0, dtype=torch.int64), ["three"])
    monkeypatch.setattr(streaming, "DataLoader", lambda *_, **__: [loaded, nothing])
    ((filled, labels),) = source.train(0)
    assert labels.tolist() == [5, 6, 7, 5, 6]
    assert filled[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]
    ((_, labels),) = source.evaluate("validation")
    assert labels.tolist() == [5, 6, 7]
    assert list(source.broken) == ["one", "two", "three"]


def test_there_are_no_more_workers_than_batches(folder, monkeypatch):
    options = []
    monkeypatch.setattr(streaming, "DataLoader", lambda *_, **o: options.append(o) or [])
    source = StreamedBatches(folder, 16, 8, 0, workers=3, pinned=True)
    list(source.train(0))
    list(source.train(0, begin=len(source) - 2))
    assert [each["num_workers"] for each in options] == [3, 2]
    assert [each["pin_memory"] for each in options] == [True, True]
    batches = options[0]["batch_sampler"]
    assert len(batches) == len(source)
    assert [[number for number, _ in batch] for batch in batches] == [
        numbers.tolist() for numbers in source.steps(0)
    ]
    number, seed = batches[0][0]
    assert seed == derive_seed(0, 0, number)
    list(source.evaluate("test"))
    crops = [crop for batch in options[-1]["batch_sampler"] for _, crop in batch]
    assert crops == [None] * folder.count("test")


def test_statistics_come_from_a_sample_and_never_vanish(folder, monkeypatch):
    """Two images of one value each: the mean of the values, and their deviation."""
    source = StreamedBatches(folder, 16, 8, 0, workers=0)
    flat = torch.tensor([51, 153], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4).clone()
    flat[:, 2] = 255
    monkeypatch.setattr(source, "_loaded", lambda part, items: [(flat, None)])
    mean, std = source.statistics()
    assert mean.tolist() == pytest.approx([0.4, 0.4, 1.0])
    assert std.tolist() == pytest.approx([0.2, 0.2, 0.001])


def no_room(*_):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left")


def test_batches_go_through_pipes_if_shared_memory_has_no_room(folder, monkeypatch, caplog):
    expected = labels_and_sums(StreamedBatches(folder, 32, 8, 0, 0.3, workers=0).train(1))
    monkeypatch.setattr(torch.Tensor, "share_memory_", no_room)  # in the processes, too
    streamed = StreamedBatches(folder, 32, 8, 0, 0.3, workers=2)
    assert labels_and_sums(streamed.train(1)) == expected
    list(streamed.evaluate("test"))
    assert [record.getMessage() for record in caplog.records] == [
        "note: shared memory (/dev/shm) has no room for the batches of 2 worker processes, so that "
        "some are copied through pipes, which is slower; give a container more of it (docker run "
        "--shm-size 8g), or use fewer --workers"
    ]
    caplog.clear()
    list(StreamedBatches(folder, 32, 8, 0, workers=2, rank=1, world=2).evaluate("test"))
    assert not caplog.records  # the main process says it


def test_a_worker_process_that_dies_is_told_in_one_line(folder, monkeypatch):
    monkeypatch.setattr(streaming, "read_image", lambda *_: os._exit(9))
    with pytest.raises(
        MixnasError, match=r"a process that decodes images died \(DataLoader worker"
    ):
        list(StreamedBatches(folder, 32, 8, 0, workers=1).train(0))


def test_processes_that_cannot_be_started_are_told_in_one_line(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(streaming.DataLoader, "__iter__", full)
    with pytest.raises(MixnasError, match=r"cannot be started \(\[Errno 28\].*--shm-size"):
        list(StreamedBatches(folder, 32, 8, 0, workers=1).train(0))


def test_other_errors_of_processes_keep_their_traceback(folder, monkeypatch):
    def broken(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(streaming, "read_image", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        list(StreamedBatches(folder, 32, 8, 0, workers=0).train(0))
