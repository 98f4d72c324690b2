import math

import pytest
import torch
from torch.nn import functional as F

from nas.data import load_data
from nas.train.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    MixedLabels,
    _kornia_operations,
)
from nas.train.recipe import Recipe

digits = load_data("digits").at(16)


def test_a_shift_moves_pixels_and_repeats_the_edge():
    augmentation = Augmentation(Recipe(shift=0.25), digits.statistics())
    torch.manual_seed(0)
    ramp = torch.arange(16, dtype=torch.uint8).repeat(1, 3, 16, 1)
    shifted = augmentation._shifted(ramp)[0, 0, 0]
    offset = int(shifted[8]) - 8
    assert torch.equal(shifted, (torch.arange(16.0) + offset).clamp(0, 15))


def test_images_are_normalised_and_channels_last():
    augmentation = Augmentation(Recipe(), digits.statistics())
    images = augmentation.normalise(digits.images["train"])
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(images.std((0, 2, 3)), torch.ones(3), atol=1e-2)


def test_augmentation_follows_from_torchs_seed_alone():
    recipe = Recipe(flip=True, crop=0.5, randaugment=9, erasing=0.5, mixup=0.2, cutmix=1.0)
    augmentation = Augmentation(recipe, digits.statistics())
    images, labels = digits.images["train"][:32], digits.labels["train"][:32]

    def made(seed):
        torch.manual_seed(seed)
        mixed, target = augmentation.mix(augmentation.train(images), labels)
        return mixed, target.share

    (one, share), (two, same), (other, _) = made(1), made(1), made(2)
    assert torch.equal(one, two)
    assert torch.equal(share, same)
    assert not torch.equal(one, other)


def test_cutmix_tells_the_share_of_the_second_image():
    augmentation = Augmentation(Recipe(cutmix=1.0), digits.statistics())
    torch.manual_seed(0)
    flat = torch.arange(8.0)[:, None, None, None].expand(8, 3, 16, 16).clone()
    mixed, target = augmentation.mix(flat, torch.arange(8))
    for row in range(8):
        if target.first[row] != target.second[row]:
            replaced = (mixed[row, 0] == target.second[row]).float().mean()
            assert torch.isclose(replaced, target.share[row])


def test_mixup_tells_the_share_of_the_second_image():
    augmentation = Augmentation(Recipe(mixup=1.0), digits.statistics())
    torch.manual_seed(0)
    flat = torch.arange(8.0)[:, None, None, None].expand(8, 3, 4, 4).clone()
    mixed, target = augmentation.mix(flat, torch.arange(8))
    expected = (1 - target.share) * target.first + target.share * target.second
    assert torch.allclose(mixed[:, 0, 0, 0], expected, atol=1e-5)


def test_mixed_labels_weigh_the_loss():
    logits = torch.randn(4, 10)
    first, second = torch.arange(4), torch.arange(4, 8)
    plain = F.cross_entropy(logits, first)
    assert torch.allclose(MixedLabels(first, second, None).loss(logits, 0.0), plain)
    half = MixedLabels(first, second, torch.tensor(0.5)).loss(logits, 0.0)
    assert torch.allclose(half, (plain + F.cross_entropy(logits, second)) / 2)
    twice = MixedLabels(first, second, None).loss(torch.cat([logits, logits]), 0.0)
    assert torch.allclose(twice, plain)


def test_accuracy_counts_the_larger_part_of_an_image():
    logits = 5.0 * F.one_hot(torch.tensor([0, 1, 2, 3]), 4).float()
    first, second = torch.tensor([0, 0, 0, 3]), torch.tensor([1, 1, 2, 1])
    assert MixedLabels(first, second, None).accuracy(logits).item() == 0.5
    share = torch.tensor([0.4, 0.6, 0.5, 0.9])  # labels 0, 1, 0 and 1; a tie goes to the first
    assert MixedLabels(first, second, share).accuracy(logits).item() == 0.5
    share = torch.tensor([0.4, 0.6, 0.51, 0.1])
    assert MixedLabels(first, second, share).accuracy(logits).item() == 1.0


def test_labels_are_smoothed():
    """With smoothing s, the target is 1 - s + s / classes for the label and s / classes else."""
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    label = torch.tensor([0])
    log_p = F.log_softmax(logits, 1)[0]
    expected = -((0.7 + 0.1) * log_p[0] + 0.1 * log_p[1] + 0.1 * log_p[2])
    assert torch.allclose(MixedLabels(label, label, None).loss(logits, 0.3), expected)


def test_images_may_be_normalised_by_imagenets_statistics():
    given = Recipe(normalisation=((0.5, 0.5, 0.5), (0.25, 0.5, 1.0)), shift=0.0)
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    channels = Augmentation(given, digits.statistics()).normalise(white)[0, :, 0, 0]
    assert channels.tolist() == pytest.approx([2.0, 1.0, 0.5])
    augmentation = Augmentation(Recipe(normalisation="imagenet", shift=0.0), digits.statistics())
    image = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    expected = (0.2 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    assert torch.allclose(augmentation.normalise(image)[0, :, 0, 0], expected, atol=1e-6)
    assert torch.equal(augmentation.train(image), augmentation.normalise(image))


def test_without_mixing_the_batch_stays_as_it_is():
    images, labels = torch.rand(4, 3, 2, 2), torch.arange(4)
    same, target = Augmentation(Recipe(), digits.statistics()).mix(images, labels)
    assert same is images
    assert target.share is None
    assert torch.equal(target.first, labels)


def test_a_shift_below_half_a_pixel_is_none():
    augmentation = Augmentation(Recipe(shift=0.03), digits.statistics())  # 0.48 pixels of 16
    images = digits.images["train"][:2]
    assert augmentation._shifted(images) is images


@pytest.mark.parametrize("flip", [True, False])
def test_half_of_the_images_are_mirrored(flip):
    augmentation = Augmentation(Recipe(flip=flip, shift=0.0), digits.statistics())
    ramp = torch.arange(16, dtype=torch.uint8).repeat(400, 3, 16, 1)
    torch.manual_seed(0)
    images = augmentation.train(ramp)
    rising = images[:, 0, 0, 15] > images[:, 0, 0, 0]
    assert (images[:, 0, 0, 15] != images[:, 0, 0, 0]).all()
    assert (150 < rising.sum() < 250) if flip else rising.all()


def test_mixed_labels_are_smoothed_and_weighed_by_image():
    """Two classes, smoothing 0.2: a target of 0.9 and 0.1, so -0.9 log p - 0.1 log(1 - p)."""
    logits = torch.tensor([[1.0986123, 0.0], [0.0, 0.0]])  # p = 3/4 and 1/2 for the first class
    first, second = torch.tensor([0, 1]), torch.tensor([1, 0])
    share = torch.tensor([0.25, 0.5])
    found = MixedLabels(first, second, share).loss(logits, 0.2).item()
    of_first = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    of_second = -0.1 * math.log(0.75) - 0.9 * math.log(0.25)
    assert found == pytest.approx((0.75 * of_first + 0.25 * of_second + math.log(2)) / 2, abs=1e-6)


def test_labels_are_split_as_their_batch():
    first, second = torch.arange(7), torch.arange(7, 14)
    share = torch.linspace(0, 1, 7)
    sizes = [len(part) for part in torch.rand(7, 1).tensor_split(3)]
    parts = MixedLabels(first, second, share).split(3)
    assert [len(part.first) for part in parts] == sizes == [3, 2, 2]
    assert torch.equal(torch.cat([part.first for part in parts]), first)
    assert torch.equal(torch.cat([part.second for part in parts]), second)
    assert torch.equal(torch.cat([part.share for part in parts]), share)
    whole = torch.tensor(0.3)
    assert all(part.share is whole for part in MixedLabels(first, second, whole).split(3))
    assert all(part.share is None for part in MixedLabels(first, second, None).split(3))


def test_several_predictions_of_a_batch_are_counted_one_by_one():
    labels = torch.tensor([0, 1])
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])  # of two networks
    target = MixedLabels(labels, labels, None)
    assert target.accuracy(logits).item() == 0.75
    parts = [F.cross_entropy(logits[:2], labels), F.cross_entropy(logits[2:], labels)]
    assert torch.allclose(target.loss(logits, 0.0), (parts[0] + parts[1]) / 2)


def test_cutmix_tells_labels_and_share_of_both_images():
    """Image i is filled with 10 + i and has the label i: pixels and labels must agree."""
    augmentation = Augmentation(Recipe(cutmix=1.0), digits.statistics())
    flat = (10.0 + torch.arange(6.0))[:, None, None, None].expand(6, 3, 8, 8).clone()
    mixtures = 0
    for seed in range(8):
        torch.manual_seed(seed)
        mixed, target = augmentation.mix(flat.clone(), torch.arange(6))
        for row in range(6):
            own, other = 10 + target.first[row], 10 + target.second[row]
            assert target.first[row] == row
            pixels = mixed[row, 0]
            assert set(pixels.unique().tolist()) <= {own.item(), other.item()}
            if own != other:
                share = (pixels == other).float().mean().item()
                assert target.share[row].item() == pytest.approx(share, abs=1e-6)
                mixtures += 0.05 < share < 0.45
    assert mixtures > 5  # where a share of the first image would be another number


def test_a_shift_moves_by_at_most_its_share_of_the_side():
    """A quarter of 8 pixels: from -2 to 2, each of them, in both directions."""
    augmentation = Augmentation(Recipe(shift=0.25), digits.statistics())
    place = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(500, 3, 8, 8)
    torch.manual_seed(0)
    moved = augmentation._shifted(place)
    assert moved.shape == place.shape
    centers = moved[:, 0, 4, 4].int()
    rows, columns = centers // 8 - 4, centers % 8 - 4
    assert set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 25
    assert torch.equal(moved[:, 0], moved[:, 2])


def test_a_recipe_names_the_operations_and_their_strengths():
    recipe = Recipe(flip=True, crop=0.4, randaugment=9, randaugment_ops=3, erasing=0.3)
    before, after = _kornia_operations(recipe)
    crop, flip, policy = before
    assert crop._min_area == 0.4
    assert (type(flip).__name__, flip.p) == ("RandomHorizontalFlip", 0.5)
    assert type(policy).__name__ == "RandAugment"
    assert (policy.n, policy.m) == (3, 9)
    assert (type(after).__name__, after.p) == ("RandomErasing", 0.3)
    assert _kornia_operations(Recipe()) == (None, None)
    only, none = _kornia_operations(Recipe(flip=True))
    assert (len(only), none) == (1, None)
    none, only = _kornia_operations(Recipe(erasing=0.5))
    assert (none, only.p) == (None, 0.5)


def test_a_crop_keeps_the_size_of_the_images():
    augmentation = Augmentation(Recipe(crop=0.3, shift=0.0), digits.statistics())
    torch.manual_seed(0)
    assert augmentation.train(digits.images["train"][:4]).shape == (4, 3, 16, 16)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"mixup": 0.2}, ["_Mixup"]),
        ({"cutmix": 1.0}, ["_CutMix"]),
        ({"mixup": 0.2, "cutmix": 1.0}, ["_Mixup", "_CutMix"]),
    ],
)
def test_a_recipe_names_the_mixing(changes, kinds):
    mixers = Augmentation(Recipe(**changes), digits.statistics())._mixers
    assert [type(mixer).__name__ for mixer in mixers] == kinds


def test_of_two_kinds_of_mixing_each_batch_has_one():
    augmentation = Augmentation(Recipe(mixup=0.2, cutmix=1.0), digits.statistics())
    shares = []
    for seed in range(40):
        torch.manual_seed(seed)
        _, target = augmentation.mix(torch.rand(4, 3, 8, 8), torch.arange(4))
        shares.append(target.share.ndim)
    assert 8 < shares.count(0) < 32  # mixup has one share for the batch, CutMix one per image


def test_mixup_draws_its_share_from_a_beta_distribution():
    augmentation = Augmentation(Recipe(mixup=4.0), digits.statistics())
    (mixer,) = augmentation._mixers
    assert mixer._beta.concentration0.item() == mixer._beta.concentration1.item() == 4.0
    torch.manual_seed(3)
    order = torch.randperm(5)
    share = float(mixer._beta.sample())
    torch.manual_seed(3)
    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    mixed, target = mixer(images, torch.arange(5))
    assert target.share.item() == pytest.approx(share)
    assert torch.equal(target.second, order)
    assert torch.allclose(mixed, (1 - share) * images + share * images[order])


def test_pixels_are_normalized_by_mean_and_deviation():
    statistics = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.1, 0.2, 0.5])
    augmentation = Augmentation(Recipe(), statistics)
    image = torch.full((1, 3, 1, 1), 102, dtype=torch.uint8)  # 0.4
    expected = [2.0, 0.0, -0.4]
    assert augmentation.normalise(image).flatten().tolist() == pytest.approx(expected, abs=1e-6)
