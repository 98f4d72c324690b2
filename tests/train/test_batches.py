import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.data import load_data
from nas.train.augment import Augmentation
from nas.train.batches import Batches, mixed_seed
from nas.train.recipe import Recipe

digits = load_data("digits").at(16)


def test_an_epoch_goes_through_the_images_once_in_an_order_of_its_own():
    source = Batches(digits, 16, seed=0)
    one, two = (torch.cat([labels for _, labels in source.train(epoch)]) for epoch in (0, 1))
    assert len(one) == len(source) * 16
    assert not torch.equal(one, two)
    again = torch.cat([labels for _, labels in Batches(digits, 16, seed=0).train(1)])
    assert torch.equal(again, two)


def test_an_epoch_can_be_entered_anywhere():
    source = Batches(digits, 64, seed=3)
    whole = list(source.train(2))
    rest = list(source.train(2, begin=5))
    assert len(rest) == len(whole) - 5
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(rest, whole[5:], strict=True))


def test_processes_share_batches_out():
    whole = next(iter(Batches(digits, 16, 0).train(0)))[1]
    parts = [next(iter(Batches(digits, 16, 0, rank, 2).train(0)))[1] for rank in (0, 1)]
    assert torch.equal(torch.stack(parts, 1).flatten(), whole)
    judged = [labels for rank in (0, 1) for _, labels in _evaluated(rank)]
    assert sorted(torch.cat(judged).tolist()) == sorted(digits.labels["validation"].tolist())


def _evaluated(rank):
    return Batches(digits, 16, 0, rank, 2).evaluate("validation")


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=4))
def test_seeds_differ_where_any_number_does(numbers):
    for place in range(len(numbers)):
        other = [*numbers]
        other[place] += 1
        assert mixed_seed(*numbers) != mixed_seed(*other)
    assert 0 <= mixed_seed(*numbers) < 1 << 63


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
