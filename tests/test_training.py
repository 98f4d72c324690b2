import dataclasses

import pytest
import torch

from nas.blocks import MBConv
from nas.data import load_data
from nas.spec import Head, NetworkSpec, Stem
from nas.torch_model import build
from nas.training import Batches, Recipe, TrainingError, evaluate, learning_rate, train

TINY = NetworkSpec(
    stem=Stem(channels=16),
    stages=((MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3),),),
    head=Head(channels=64),
    num_classes=10,
)
digits = load_data("digits").at(16)


def test_a_small_network_learns_digits():
    torch.set_num_threads(1)
    result = train(build(TINY, 0), digits, Recipe(epochs=10, learning_rate=0.1), seed=0)
    assert result.accuracy > 0.85
    assert result.losses[-1] < result.losses[0]
    assert result.steps == 10 * (1077 // 16)


def test_a_seed_repeats_a_training_exactly():
    torch.set_num_threads(1)
    recipe = Recipe(epochs=1)
    one, two, other = (train(build(TINY, 0), digits, recipe, seed) for seed in (1, 1, 2))
    assert (one.losses, one.accuracy, one.loss) == (two.losses, two.accuracy, two.loss)
    assert one.losses != other.losses


def test_training_never_touches_the_test_part():
    class Untouchable(dict):
        def __getitem__(self, part):
            assert part != "test"
            return super().__getitem__(part)

    guarded = dataclasses.replace(
        digits, images=Untouchable(digits.images), labels=Untouchable(digits.labels)
    )
    train(build(TINY, 0), guarded, Recipe(epochs=1, batch_size=64), seed=0)


def test_a_diverging_training_says_so():
    with pytest.raises(TrainingError, match=r"the training loss is (nan|inf) in epoch 1"):
        train(build(TINY, 0), digits, Recipe(epochs=1, learning_rate=1e30), seed=0)


def test_the_rate_rises_then_falls():
    recipe = Recipe(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == rates[19] == rates[20] == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 0.001


def test_batches_shift_but_keep_labels_and_size():
    batches = Batches(digits, Recipe(shift=0.25), seed=0)
    images, labels = next(iter(batches.train()))
    assert images.shape == (16, 3, 16, 16)
    assert images.is_contiguous(memory_format=torch.channels_last)
    again, same = next(iter(Batches(digits, Recipe(shift=0.25), seed=0).train()))
    assert torch.equal(images, again)
    assert torch.equal(labels, same)
    still, _ = next(iter(Batches(digits, Recipe(shift=0.0), seed=0).train()))
    assert not torch.equal(images, still)


def test_a_shift_moves_pixels_and_repeats_the_edge():
    batches = Batches(digits, Recipe(shift=0.25), seed=0)
    ramp = torch.arange(16, dtype=torch.uint8).repeat(1, 3, 16, 1)
    shifted = batches._shift(ramp)[0, 0, 0]
    offset = int(shifted[8]) - 8
    assert torch.equal(shifted, (torch.arange(16.0) + offset).clamp(0, 15))


def test_evaluation_counts_every_image_once():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.eye(10)[3].repeat(len(x), 1)

    accuracy, loss = evaluate(Constant(), Batches(digits, Recipe(), 0), "validation")
    share = (digits.labels["validation"] == 3).float().mean().item()
    assert accuracy == pytest.approx(share)
    assert loss > 0
