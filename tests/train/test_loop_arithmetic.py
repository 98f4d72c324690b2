"""The numbers of single steps and of evaluations, worked out by hand or by autograd."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.errors import MixnasError
from nas.train import loop
from nas.train.batches import derive_seed
from nas.train.loop import Evaluation, Trainer, TrainingError, _average, _update, distilled
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from tests.networks import trainer

PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "label_smoothing": 0.0, "shift": 0.0}
PLAIN |= {"warmup": 0.0, "schedule": "constant", "zero_residuals": False, "batch_size": 8}


class FixedBatches:
    """A `BatchSource` of the same few images at every step.

    Attributes:
        batches: images and labels of each step, and of each batch that is evaluated.
    """

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def statistics(self):
        return torch.zeros(3), torch.ones(3)

    def train(self, epoch, begin=0):
        yield from self.batches[begin:]

    def evaluate(self, part):
        yield from self.batches


def batch(size, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, 2, 2), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, classes, (size,), generator=generator)


def linear(recipe, *batches, **options):
    """A training of a linear classifier without normalization."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    return Trainer(model, FixedBatches(list(batches)), recipe, 0, **options)


def weights_of(running):
    return running.model[1].weight


def gradient(weight, images, labels):
    """The gradient of the mean cross entropy, by autograd on the plain formula."""
    weight = weight.detach().clone().requires_grad_()
    loss = F.cross_entropy((images.float() / 255).flatten(1) @ weight.T, labels)
    (found,) = torch.autograd.grad(loss, weight)
    return found


def test_a_step_of_plain_descent_is_the_rate_times_the_gradient():
    images, labels = batch(8)
    running = linear(Recipe(epochs=2, learning_rate=0.5, **PLAIN), (images, labels))
    before = weights_of(running).detach().clone()
    expected = before - 0.5 * gradient(before, images, labels)
    next(running.steps())
    assert torch.allclose(weights_of(running), expected, atol=1e-6)


def test_sharpness_aware_minimization_descends_from_the_gradient_uphill():
    """Foret et al. 2021: w - rate x gradient at w + rho x gradient / |gradient|."""
    images, labels = batch(8)
    running = linear(Recipe(epochs=1, learning_rate=0.5, sam=0.3, **PLAIN), (images, labels))
    before = weights_of(running).detach().clone()
    first = gradient(before, images, labels)
    uphill = before + 0.3 * first / first.norm()
    expected = before - 0.5 * gradient(uphill, images, labels)
    next(running.steps())
    assert torch.allclose(weights_of(running), expected, atol=1e-5)
    assert not torch.allclose(weights_of(running), before - 0.5 * first, atol=1e-4)


def test_a_gradient_longer_than_the_bound_is_shortened_to_it():
    images, labels = batch(8)
    long = gradient(weights_of(linear(Recipe(**PLAIN), batch(8))), images, labels).norm().item()
    for bound, norm in ((long / 2, long / 2), (2 * long, long)):
        recipe = Recipe(epochs=1, learning_rate=1.0, clip=bound, **PLAIN)
        running = linear(recipe, (images, labels))
        before = weights_of(running).detach().clone()
        next(running.steps())
        assert (weights_of(running) - before).norm().item() == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("size", [8, 7, 5])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(size):
    images, labels = batch(size)
    recipe = Recipe(epochs=1, learning_rate=0.5, **{**PLAIN, "label_smoothing": 0.1})
    whole, halved = (linear(recipe, (images, labels), parts=parts) for parts in (1, 2))
    for running in (whole, halved):
        next(running.steps())
    assert torch.allclose(weights_of(halved), weights_of(whole), atol=1e-6)
    assert halved.losses == pytest.approx(whole.losses, rel=1e-5)
    assert halved.accuracies == pytest.approx(whole.accuracies, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "parts", "sizes"),
    [(8, 2, [4, 4]), (5, 2, [3, 2]), (3, 2, [3]), (2, 2, [2]), (7, 3, [3, 2, 2])],
)
def test_no_part_of_a_batch_has_a_single_image(size, parts, sizes):
    """A single image of 1x1 has no variance for batch normalization."""
    running = linear(Recipe(epochs=1, **PLAIN), batch(size), parts=parts)
    seen = []
    running.model[0].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    next(running.steps())
    assert seen == sizes


def test_a_network_with_maps_of_one_pixel_trains_on_a_remainder_of_one():
    """In halves as well: 1,077 images in batches of 269 leave one over, which is dropped."""
    recipe = Recipe(epochs=1, batch_size=269, zero_residuals=False)
    running = trainer(recipe, parts=2)
    running.source.data.images["train"] = running.source.data.images["train"][..., :4, :4]
    norms = [m for m in running.model.modules() if isinstance(m, nn.BatchNorm2d)]
    sides = []
    norms[-1].register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    assert list(running.steps()) == [1, 2, 3, 4]
    assert set(sides) == {1}


def test_the_teacher_weighs_with_its_temperature_squared():
    """Student (1/2, 1/2), teacher (3/4, 1/4) at temperature 2: a divergence of 0.130812."""
    recipe = Recipe(epochs=1, distill=0.25, temperature=2.0, **PLAIN)
    taught = torch.tensor([[2 * math.log(3), 0.0]])
    blended = distilled(torch.tensor(0.5), torch.zeros(1, 2), taught, recipe)
    assert blended.item() == pytest.approx(0.75 * 0.5 + 0.25 * 4 * 0.1308123, abs=1e-6)


def test_the_teacher_sees_the_images_of_the_student():
    def teacher(*given):
        seen.append(given)
        return torch.zeros(8, 3)

    seen = []
    recipe = Recipe(epochs=1, distill=1.0, temperature=1.0, **PLAIN)
    running = linear(recipe, batch(8), teacher=teacher)
    expected = torch.softmax(running.model(batch(8)[0] / 255), 1)
    next(running.steps())
    images, mean, std = seen[0]
    assert torch.equal(images, batch(8)[0] / 255)
    assert mean is running.augmentation.mean
    assert std is running.augmentation.std
    divergence = -math.log(3) - torch.log(expected).mean(1)  # from the uniform distribution
    assert running.last_loss.item() == pytest.approx(divergence.mean().item(), rel=1e-5)


def test_without_a_teacher_the_loss_is_that_of_the_labels():
    images, labels = batch(8)
    running = linear(Recipe(epochs=1, distill=1.0, **PLAIN), (images, labels))
    pixels = (images.float() / 255).flatten(1)
    expected = F.cross_entropy(pixels @ weights_of(running).T, labels).item()
    next(running.steps())
    assert running.last_loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_rate_of_a_step_is_the_recipes():
    recipe = Recipe(epochs=4, **{**PLAIN, "schedule": "cosine", "warmup": 0.25})
    running = linear(recipe, batch(8), batch(8), batch(8))
    rates = [running.optimiser.param_groups[0]["lr"] for _ in running.steps()]
    assert len(rates) == 12
    assert rates == [recipe.rate(step, 12, 3) for step in range(12)]


def test_the_random_numbers_of_a_step_follow_from_seed_and_step():
    seeds = []
    running = linear(Recipe(epochs=1, **PLAIN), batch(8), batch(8))
    running.seed = 7
    running.model[0].register_forward_pre_hook(lambda *_: seeds.append(torch.initial_seed()))
    list(running.steps())
    assert seeds == [derive_seed(7, 0, 0), derive_seed(7, 1, 0)]


# -- what is counted ------------------------------------------------------------------------------


def recorded(running, values):
    for loss, accuracy in values:
        running._record(torch.tensor(loss), torch.tensor(accuracy))


def test_the_last_part_of_an_epoch_counts_its_own_steps():
    running = trainer(Recipe(epochs=1.5, batch_size=256))
    assert (running.epoch_steps, running.total) == (4, 6)
    recorded(running, [(1.0, 0.0), (2.0, 0.25), (3.0, 0.25), (4.0, 0.5)])
    assert (running.losses, running.accuracies) == ([2.5], [0.25])
    assert running.sums.tolist() == [0, 0]
    recorded(running, [(5.0, 0.5), (6.0, 1.0)])
    assert (running.losses, running.accuracies) == ([2.5, 5.5], [0.25, 0.75])
    assert (running.step, running.last_loss.item()) == (6, 6.0)


@pytest.mark.parametrize(
    ("epochs", "total"), [(1.0, 4), (0.001, 1), (0.4, 2), (1.5, 6), (2.2, 9), (3.0, 12)]
)
def test_the_number_of_steps_is_rounded_and_at_least_one(epochs, total):
    running = trainer(Recipe(epochs=epochs, batch_size=256))
    assert running.total == total


def test_steps_end_where_they_are_told_to():
    running = linear(Recipe(epochs=3, **PLAIN), batch(8), batch(8))
    assert list(running.steps(3)) == [1, 2, 3]
    assert list(running.steps(3)) == []
    assert list(running.steps(99)) == [4, 5, 6]
    assert list(running.steps()) == []


def test_a_loss_on_a_device_is_looked_at_now_and_then(monkeypatch):
    """Every look waits for the device: at step 32 and at the end of the epoch, after 67 steps."""

    class Elsewhere(torch.Tensor):
        is_cpu = False

    looks = []
    real = loop.to_host
    monkeypatch.setattr(loop, "to_host", lambda t: (looks.append(running.step), real(t))[1])
    running = trainer(Recipe(epochs=2))
    for _ in range(67):
        running._record(torch.tensor(1.0).as_subclass(Elsewhere), torch.tensor(0.5))
    assert looks == [32, 64, 67, 67]
    assert running.losses == [1.0]


def test_images_that_cannot_be_read_end_a_training_and_an_evaluation():
    class Unreadable(FixedBatches):
        def train(self, epoch, begin=0):
            yield from ()

        evaluate = train

    running = linear(Recipe(epochs=1, **PLAIN), batch(8))
    running.source = Unreadable([batch(8)])
    with pytest.raises(TrainingError, match="none of the training images can be read"):
        next(running.steps())
    with pytest.raises(TrainingError, match="none of the validation images can be read"):
        running.evaluate("validation")


# -- the moving average ---------------------------------------------------------------------------


class Numbers(nn.Module):
    """Tensors of each kind, all of one value."""

    def __init__(self, value):
        super().__init__()
        self.single = nn.Parameter(torch.full((2,), float(value)))
        self.precise = nn.Parameter(torch.full((2,), float(value), dtype=torch.float64))
        self.register_buffer("mean", torch.full((2,), float(value)))
        self.register_buffer("count", torch.tensor(int(value)))


def test_the_decay_of_the_average_warms_up():
    """min(decay, (1 + n) / (10 + n)) after n steps; the first step is copied."""
    average = _average(Numbers(7))
    _update(average, Numbers(1), 0.999)
    assert average.module.single.tolist() == [1, 1]
    found = []
    for _ in range(3):
        _update(average, Numbers(0), 0.999)
        found.append(average.module.single[0].item())
    by_hand = [2 / 11, 2 / 11 * 3 / 12, 2 / 11 * 3 / 12 * 4 / 13]
    assert found == pytest.approx(by_hand, rel=1e-6)
    for kept in (average.module.precise, average.module.mean):
        assert kept[0].item() == pytest.approx(by_hand[-1], rel=1e-6)
    assert average.module.count.item() == 0  # whole numbers are copied
    assert average.n_averaged.item() == 4


def test_the_decay_of_the_average_ends_at_the_recipes():
    average = _average(Numbers(1))
    _update(average, Numbers(1), 0.2)
    for expected in (2 / 11, 2 / 11 * 0.2, 2 / 11 * 0.2 * 0.2):
        _update(average, Numbers(0), 0.2)
        assert average.module.single[0].item() == pytest.approx(expected, rel=1e-6)


def test_a_short_training_forgets_its_first_weights_in_its_average():
    """32 steps, as two epochs of digits in batches of 64; a fixed 0.999 would keep 97% of them."""
    average = _average(Numbers(1))
    for step in range(32):
        _update(average, Numbers(step == 0), 0.999)
    assert average.module.single[0].item() < 1e-6


# -- evaluation -----------------------------------------------------------------------------------


class Answers(nn.Module):
    """Returns logits that the images' first pixel chooses."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits
        self.anchor = nn.Parameter(torch.zeros(1))
        self.modes = []

    def forward(self, images):
        self.modes.append(self.training)
        return self.logits[images[:, 0, 0, 0].long()] + 0 * self.anchor


def test_an_evaluation_is_a_mean_over_images_and_not_over_batches():
    """Of three images in batches of two and one, the first is right, the second in the top five."""
    logits = torch.tensor(
        [[6.0, 5, 4, 3, 2, 1, 0], [0.0, 1, 2, 3, 4, 5, 6], [0.0, 1, 2, 3, 4, 5, 6]]
    )
    images = torch.zeros(3, 3, 1, 1, dtype=torch.uint8)
    images[:, 0] = torch.arange(3).view(3, 1, 1)
    labels = torch.tensor([0, 2, 1])
    pieces = [(images[:2], labels[:2]), (images[2:], labels[2:])]
    model = Answers(logits)
    running = Trainer(model, FixedBatches(pieces), Recipe(normalisation="data"), 0)
    running.augmentation.normalise = lambda images: images.float()
    found = running.evaluate("validation")
    expected = F.cross_entropy(logits, labels).item()
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.top5 == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert model.modes == [False, False]


def test_with_two_classes_the_top_five_are_all():
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    model = Answers(torch.tensor([[1.0, 0.0]]))
    running = Trainer(model, FixedBatches([(images, torch.tensor([0, 1]))]), Recipe(), 0)
    found = running.evaluate("test")
    assert (found.accuracy, found.top5) == (0.5, 1.0)
    assert isinstance(found, Evaluation)


def test_the_average_is_what_is_evaluated():
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    model = Answers(torch.tensor([[1.0, 0.0]]))
    source = FixedBatches([(images, torch.tensor([0, 0]))])
    running = Trainer(model, source, Recipe(ema=0.9), 0)
    running.average.module.logits = torch.tensor([[0.0, 1.0]])
    assert running.evaluate("validation").accuracy == 0.0
    assert running.evaluated_model is running.average.module
    running.average = None
    assert running.evaluated_model is running.model
    assert running.evaluate("validation").accuracy == 1.0


def test_a_loss_that_is_not_finite_ends_an_evaluation():
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    model = Answers(torch.tensor([[math.nan, 0.0]]))
    running = Trainer(model, FixedBatches([(images, torch.tensor([0, 0]))]), Recipe(), 0)
    with pytest.raises(TrainingError, match="the test loss is nan"):
        running.evaluate("test")


def test_schedule_free_optimizers_evaluate_their_final_weights():
    running = linear(Recipe(epochs=1, **PLAIN), batch(8))
    calls = []
    running.optimiser.eval = lambda: calls.append("eval")
    running.optimiser.train = lambda: calls.append("train")
    running.model[0].register_forward_pre_hook(lambda *_: calls.append("forward"))
    running.evaluate("validation")
    assert calls == ["eval", "forward", "train"]


def test_both_steps_of_sharpness_aware_minimization_see_the_same_network():
    """Dropout, and the paths of a supernet, follow from torch's generator."""
    seen = []
    running = linear(Recipe(epochs=2, sam=0.1, **PLAIN), batch(8))
    running.model[0].register_forward_pre_hook(lambda *_: seen.append(torch.rand(()).item()))
    list(running.steps())
    assert seen[0] == seen[1] != seen[2] == seen[3]


# -- preparation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [True, False])
def test_residual_branches_start_at_zero_if_the_recipe_says_so(zero, monkeypatch):
    called = []
    monkeypatch.setattr(loop, "zero_residuals", called.append)
    running = linear(Recipe(epochs=1, **{**PLAIN, "zero_residuals": zero}), batch(8))
    assert called == ([running.model] if zero else [])


def test_sharpness_aware_minimization_refuses_fp16():
    with pytest.raises(MixnasError, match="cannot be used with fp16; use bf16"):
        linear(Recipe(epochs=1, sam=0.1, **PLAIN), batch(8), placement=Placement(precision="fp16"))
