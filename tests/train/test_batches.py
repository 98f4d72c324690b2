import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.data import load_data
from nas.errors import MixnasError
from nas.train.batches import (
    BATCHES_AHEAD,
    Batches,
    ShardedBatches,
    derive_seed,
    epoch_order,
    placed,
)

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


def test_one_process_has_every_batch_unless_told_otherwise():
    source = ShardedBatches(digits, 16, 0)
    assert (source.rank, source.world) == (0, 1)


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
        assert derive_seed(*numbers) != derive_seed(*other)
    assert 0 <= derive_seed(*numbers) < 1 << 63


def test_derived_seeds_and_orders_are_always_the_same():
    """Changing them makes earlier runs incomparable: say so in the changelog."""
    assert derive_seed(0) == 8147104208329303767
    assert derive_seed(1, 2, 3) == 3851293329796251419
    assert epoch_order(10, 3, 4).tolist() == [6, 1, 8, 5, 4, 2, 3, 9, 0, 7]


def test_one_number_gives_splitmix64():
    """The first output of the published generator for seed 0, without its lowest bit."""
    assert derive_seed(0) == 0xE220A8397B1DCDAF >> 1


def test_the_incomplete_last_batch_is_dropped_in_training_alone():
    source = Batches(digits, 100, 0)
    assert len(source) == 10  # of 1,077 images
    assert [len(labels) for _, labels in source.train(0)] == [100] * 10
    assert [len(labels) for _, labels in source.evaluate("validation")] == [128, 128, 104]
    assert Batches(digits, 5000, 0).size == 1077
    assert len(Batches(digits, 5000, 0)) == 1


def test_epochs_show_a_number_of_images():
    source = Batches(digits, 100, 0)
    assert source.epochs(images=2500, most=40) == 2.5  # of 1,000 images
    assert source.epochs(images=2500, most=2) == 2


@pytest.mark.parametrize(("size", "world"), [(1, 1), (3, 2), (5, 4)])
def test_batches_that_leave_a_process_one_image_are_refused(size, world):
    images = "1 image" if size == 1 else f"{size} images"
    said = f"a batch has {images}, but batch normalization needs at least {2 * world}, two in"
    with pytest.raises(MixnasError, match=said):
        Batches(digits, size, 0, 0, world)


@pytest.mark.parametrize(("size", "world"), [(2, 1), (4, 2)])
def test_two_images_for_each_process_suffice(size, world):
    source = Batches(digits, size, 0, 0, world)
    assert len(next(iter(source.train(0)))[1]) == 2


def test_a_remainder_of_one_image_is_dropped():
    source = Batches(digits, 269, 0)  # 1,077 are four batches and one image
    assert len(source) == 4
    assert [len(labels) for _, labels in source.train(0)] == [269] * 4


def test_staged_batches_are_the_same_and_gathered_ahead(monkeypatch):
    gathered = []

    def pinned(tensor):
        gathered.append(len(tensor))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    plain, staged = (Batches(digits, 100, 3, staged=staged) for staged in (False, True))
    ahead = staged.train(0)
    first = next(ahead)
    assert BATCHES_AHEAD == 3
    whole = [first, *ahead]
    assert gathered == [100] * 20  # images and labels of ten batches
    for one, other in zip(whole, plain.train(0), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_steps_are_consecutive_parts_of_the_order_of_their_epoch():
    source = Batches(digits, 8, seed=5)
    order = epoch_order(1077, 5, 2)
    steps = list(source.steps(2, begin=3))
    assert len(steps) == 1077 // 8 - 3
    assert torch.equal(steps[0], order[24:32])
    second = Batches(digits, 8, 5, rank=1, world=2)
    assert torch.equal(next(iter(second.steps(2))), order[1:8:2])


def test_processes_evaluate_every_other_batch():
    """360 validation images in batches of 128: the first process has two, the second one."""
    first, second = (Batches(digits, 16, 0, rank, 2) for rank in (0, 1))
    assert list(first.chunks("validation")) == [slice(0, 128), slice(256, 360)]
    assert list(second.chunks("validation")) == [slice(128, 256)]


def test_data_moves_to_a_device_that_has_room_for_it(monkeypatch):
    moved = []
    monkeypatch.setattr(type(digits), "to", lambda data, device: moved.append(device) or data)
    sizes = []

    def room(size, device):
        sizes.append((size, device))
        return answers.pop(0)

    monkeypatch.setattr("nas.train.batches.has_room_for", room)
    answers = [True, False, True, False]
    for device, staged in (("cuda", False), ("cuda:1", True), ("mps", False), ("mps", False)):
        assert placed(digits, device) == (digits, staged)
    assert placed(digits, "cpu") == (digits, False)
    assert moved == ["cuda", "mps"]
    assert [device for _, device in sizes] == ["cuda", "cuda:1", "mps", "mps"]
    assert sizes[0][0] == 1797 * 3 * 16 * 16
