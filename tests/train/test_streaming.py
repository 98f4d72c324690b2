import random

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import load_data
from nas.train.loop import Trainer
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import open_source
from nas.train.streaming import RandomBox, StreamedBatches


@pytest.fixture
def folder(tmp_path):
    """Sixty images of odd sizes, of two classes that differ in colour; one is broken."""
    rng = random.Random(0)
    for number in range(60):
        label = number % 2
        home = tmp_path / "data" / ("red" if label else "blue")
        home.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((rng.randint(40, 90), rng.randint(40, 90), 3), np.uint8)
        pixels[..., 0 if label else 2] = rng.randint(120, 250)
        Image.fromarray(pixels).save(home / f"{number:03}.png")
    (tmp_path / "data" / "red" / "broken.png").write_bytes(b"no image")
    return load_data(str(tmp_path / "data"))


def labels_and_sums(batches):
    return [(labels.tolist(), images.sum().item()) for images, labels in batches]


def test_neither_workers_nor_an_interruption_change_the_batches(folder):
    none, two = (StreamedBatches(folder, 32, 8, 0, 0.3, workers=n) for n in (0, 2))
    whole = labels_and_sums(none.train(1))
    assert labels_and_sums(two.train(1)) == whole
    assert labels_and_sums(none.train(1, begin=2)) == whole[2:]
    assert labels_and_sums(none.train(0)) != whole


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
    source, left, _ = open_source(folder, 16, recipe, 0, Placement(), workers=0)
    assert isinstance(source, StreamedBatches)
    assert left.crop == 1  # it was cropped when it was read
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    trainer = Trainer(model, source, left, 0)
    for _ in trainer.steps():
        pass
    assert trainer.evaluate("validation").accuracy > 0.9


def test_small_sets_are_kept_in_memory(folder):
    source, _, remarks = open_source(folder, 16, Recipe(), 0, Placement())
    assert not isinstance(source, StreamedBatches)
    assert "1 of 61 images cannot be read" in remarks[0]
    streamed, _, _ = open_source(folder, 16, Recipe(), 0, Placement(), reading="stream")
    assert isinstance(streamed, StreamedBatches)


def test_a_crop_lies_inside_and_keeps_its_share():
    for seed in range(300):
        left, upper, right, lower = RandomBox(seed, 0.2)(90, 60)
        assert 0 <= left < right <= 90.001
        assert 0 <= upper < lower <= 60.001
        wide, high = right - left, lower - upper
        assert 0.2 * 90 * 60 * 0.999 <= wide * high <= 90 * 60 * 1.001
        assert 0.74 < wide / high < 1.34
