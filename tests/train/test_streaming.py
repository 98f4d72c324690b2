import torch

from nas.data import load_data
from nas.train.loop import Trainer
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.sources import open_batches
from nas.train.streaming import RandomBox, StreamedBatches
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
