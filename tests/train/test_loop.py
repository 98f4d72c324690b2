import dataclasses

import pytest
import torch
from torch.nn import functional as F

from nas.data import load_data
from nas.torch_model import build
from nas.train.augment import Augmentation
from nas.train.batches import Batches
from nas.train.loop import TrainingError, evaluate
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from tests.networks import TINY, train, trainer

digits = load_data("digits").at(16)


def test_a_small_network_learns_digits():
    torch.set_num_threads(1)
    result = train(build(TINY, 0), digits, Recipe(epochs=10, learning_rate=0.1), seed=0)
    assert result.accuracy > 0.85
    assert result.losses[-1] < result.losses[0]
    assert result.steps == 10 * (1077 // 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adamw", "learning_rate": 0.01},
        {"optimiser": "rmsprop", "learning_rate": 0.02, "schedule": "exponential"},
        {"optimiser": "ranger", "learning_rate": 0.02},
        {"sam": 0.05},
        {"ema": 0.98},
        {"mixup": 0.2, "cutmix": 1.0},
        {"randaugment": 5, "erasing": 0.2, "crop": 0.7, "clip": 1.0},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_every_ingredient_trains(changes):
    """Well above chance (0.1) after few epochs, whatever the recipe."""
    running = trainer(Recipe(epochs=6, **changes))
    for _ in running.steps():
        pass
    assert running.evaluate("validation").accuracy > 0.3
    assert running.losses[-1] < running.losses[0]


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


def test_a_diverging_training_says_where_and_what_may_help():
    said = r"the training loss is (nan|inf) at step \d+ of 67; try a learning rate below 1e\+30"
    with pytest.raises(TrainingError, match=said):
        train(build(TINY, 0), digits, Recipe(epochs=1, learning_rate=1e30), seed=0)


def test_epochs_may_be_parts_of_one():
    running = trainer(Recipe(epochs=1.5))
    assert running.total == round(1.5 * 67)
    assert list(running.steps()) == list(range(1, running.total + 1))
    assert len(running.losses) == 2


def test_gradients_are_clipped():
    """One step of plain SGD moves the weights by rate x gradient, whose norm is bounded."""
    recipe = Recipe(epochs=1, momentum=0, warmup=0, weight_decay=0, learning_rate=1.0, clip=1e-3)
    running = trainer(recipe)
    before = [p.detach().clone() for p in running.model.parameters()]
    next(running.steps())
    moved = [p.detach() - b for p, b in zip(running.model.parameters(), before, strict=True)]
    norm = torch.cat([m.flatten() for m in moved]).norm().item()
    assert norm == pytest.approx(1e-3, rel=1e-2)


def test_the_moving_average_follows_the_weights():
    running = trainer(Recipe(epochs=1, ema=0.9))
    seen = []
    for _ in running.steps(3):
        seen.append(running.model.classifier.weight.detach().clone())  # noqa: PERF401
    expected = seen[0]
    for count, weights in enumerate(seen[1:], start=1):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * weights
    assert torch.allclose(running.evaluated_model.classifier.weight, expected, atol=1e-7)
    assert not torch.equal(running.evaluated_model.classifier.weight, seen[-1])


def test_a_teacher_is_learned_from():
    """With the whole loss from the teacher, a network learns the teacher's labels alone."""

    def teacher(images, mean, std):
        pixels = images * std + mean
        dark = (pixels.mean((1, 2, 3)) < 0.3).long()
        return 10.0 * F.one_hot(dark, 10).float()

    running = trainer(Recipe(epochs=4, distill=1.0, shift=0.0), teacher=teacher)
    for _ in running.steps():
        pass
    with torch.no_grad():
        pixels = digits.images["validation"].float() / 255
        logits = running.model.eval()(running.augmentation.normalise(digits.images["validation"]))
    dark = (pixels.mean((1, 2, 3)) < 0.3).long()
    assert (logits.argmax(1) == dark).float().mean() > 0.8
    assert 0.1 < dark.float().mean() < 0.9


def test_evaluation_counts_every_image_once():
    class Constant(torch.nn.Module):
        def forward(self, x):
            assert not torch.is_grad_enabled()
            return torch.eye(10)[3].repeat(len(x), 1)

    augmentation = Augmentation(Recipe(), digits.statistics())
    source = Batches(digits, 16, 0)
    found = evaluate(Constant(), source, "validation", augmentation, Placement())
    share = (digits.labels["validation"] == 3).float().mean().item()
    assert found.accuracy == pytest.approx(share)
    assert found.accuracy < found.top5 < 1
    assert found.loss > 0


def test_bf16_trains_too():
    running = trainer(Recipe(epochs=3), placement=Placement(precision="bf16"))
    for _ in running.steps():
        pass
    assert running.losses[-1] < running.losses[0]
    assert running.model.classifier.weight.dtype == torch.float32
