import pytest
import torch
from torch.nn import functional as F

from nas.data import load_data
from nas.train.augment import IMAGENET_MEAN, IMAGENET_STD, Augmentation, MixedLabels
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
