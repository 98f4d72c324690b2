import pytest
import torch
from torch import nn

from nas.errors import MixnasError
from nas.train.optimisers import (
    TensorFlowRMSprop,
    _optimiser_class,
    open_optimiser,
    optimiser_state,
    restore_optimiser,
)
from nas.train.recipe import Recipe
from tests.networks import trainer


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def test_weights_of_convolutions_and_linear_layers_alone_decay(model):
    optimiser = open_optimiser(model, Recipe(weight_decay=0.01))
    decaying, others = optimiser.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert {id(p) for p in decaying["params"]} == {id(model[0].weight), id(model[3].weight)}
    assert len(others["params"]) == 4  # two biases, and scale and shift of the normalization


@pytest.mark.parametrize(
    ("changes", "kind", "options"),
    [
        ({}, torch.optim.SGD, {"lr": 0.06, "momentum": 0.9, "nesterov": True}),
        ({"momentum": 0.0}, torch.optim.SGD, {"momentum": 0.0, "nesterov": False}),
        (
            {"optimiser": "rmsprop", "momentum": 0.8},
            TensorFlowRMSprop,
            {"alpha": 0.9, "momentum": 0.8, "eps": 1e-3},
        ),
        ({"optimiser": "adamw", "learning_rate": 0.002}, torch.optim.AdamW, {"lr": 0.002}),
    ],
)
def test_a_recipe_names_the_optimizer_and_its_options(model, changes, kind, options):
    optimiser = open_optimiser(model, Recipe(**changes))
    assert type(optimiser) is kind
    assert {name: optimiser.param_groups[0][name] for name in options} == options


def test_sharpness_aware_minimization_wraps_the_optimizer(model):
    optimiser = open_optimiser(model, Recipe(sam=0.07))
    assert type(optimiser).__name__ == "SAM"
    assert isinstance(optimiser.base_optimizer, torch.optim.SGD)
    assert optimiser.param_groups[0]["rho"] == 0.07


def test_optimizers_of_the_package_are_found_and_others_refused(model):
    assert type(open_optimiser(model, Recipe(optimiser="ranger"))).__name__ == "Ranger"
    with pytest.raises(MixnasError, match="optimizer 'sgdd'; allowed: sgd, rmsprop, adamw"):
        open_optimiser(model, Recipe(optimiser="sgdd"))


def test_rmsprop_is_tensorflows():
    """Two steps by hand: v = 0.9 v + 0.1 g^2 from 1 on, m = 0.5 m + lr g / sqrt(v + eps)."""
    weight = nn.Parameter(torch.tensor([2.0]))
    settings = {"lr": 0.1, "alpha": 0.9, "momentum": 0.5, "eps": 0.01, "weight_decay": 0.25}
    optimiser = TensorFlowRMSprop([weight], **settings)
    expected, square, velocity = 2.0, 1.0, 0.0
    for gradient in (3.0, -1.0):
        weight.grad = torch.tensor([gradient])
        optimiser.step()
        decayed = gradient + 0.25 * expected
        square = 0.9 * square + 0.1 * decayed**2
        velocity = 0.5 * velocity + 0.1 * decayed / (square + 0.01) ** 0.5
        expected -= velocity
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_weights_without_a_gradient_stay():
    weight = nn.Parameter(torch.tensor([2.0]))
    TensorFlowRMSprop([weight], lr=0.1, weight_decay=0.5).step()
    assert weight.item() == 2.0


@pytest.mark.parametrize("name", ["sgdp", "adamp", "ranger", "lion"])
def test_optimizers_of_the_package_train_in_the_channels_last_format(name):
    """Some of them flatten weights with `view`, which this format does not allow."""
    recipe = Recipe(epochs=1, batch_size=64, optimiser=name, learning_rate=0.01)
    running = trainer(recipe)
    before = running.model.classifier.weight.detach().clone()
    list(running.steps(2))
    assert not torch.equal(running.model.classifier.weight, before)
    flat = name in ("sgdp", "adamp")
    assert running.model.stem.conv.weight.is_contiguous() == flat


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lomo", r"'lomo' cannot be used with a recipe: 'list' object"),
        ("alig", r"'alig' cannot be used with a recipe: AliG requires closure"),
        ("lbfgs", r"'lbfgs' cannot be used with a recipe: LBFGS doesn't support per-parameter"),
        ("aggmo", r"state of the optimizer 'aggmo' cannot be saved \('momentum_buffer' is not a"),
        ("madgrad", r"state of the optimizer 'madgrad' cannot be saved \('k' is not of a single"),
        ("shampoo", r"optimizer 'shampoo' cannot be saved .* is larger than its weight"),
        ("stablespam", r"'stablespam' keeps state that cannot be saved, so a training could not"),
    ],
)
def test_optimizers_that_no_training_could_use_are_refused_at_once(model, name, said):
    with pytest.raises(MixnasError, match=said):
        open_optimiser(model, Recipe(optimiser=name))


def test_trying_an_optimizer_out_changes_nothing(model):
    before = [weight.detach().clone() for weight in model.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    optimiser = open_optimiser(model, Recipe(optimiser="ranger"))
    assert torch.equal(torch.rand(3), expected)
    assert all(map(torch.equal, before, model.parameters()))
    assert not optimiser.state
    assert all(weight.grad is None for weight in model.parameters())


def test_state_of_a_whole_group_is_saved_with_it(model):
    recipe = Recipe(optimiser="dadaptsgd", learning_rate=1.0)
    optimiser, other = (open_optimiser(model, recipe) for _ in "ab")
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    tensors, values = optimiser_state(optimiser, "dadaptsgd")
    assert "group0.numerator_weighted" in tensors
    restore_optimiser(other, tensors, values)
    for one, two in zip(optimiser.param_groups, other.param_groups, strict=True):
        assert torch.equal(one["numerator_weighted"], two["numerator_weighted"])


@pytest.mark.parametrize(
    ("name", "device", "fused"),
    [
        ("sgd", "cpu", True),
        ("sgd", "cuda", True),
        ("sgd", "mps", True),
        ("sgd", "xpu", False),
        ("adamw", "cuda", True),
        ("adamw", "cpu", None),
        ("adamw", "mps", None),
    ],
)
def test_fused_kernels_where_they_exist_and_change_no_bits(name, device, fused):
    _, options = _optimiser_class(Recipe(optimiser=name), device)
    assert options.get("fused") is fused


def test_momentum_starts_at_zero_for_every_weight(model):
    optimiser = open_optimiser(model, Recipe())
    assert len(optimiser.state) == len(list(model.parameters())) == 6
    assert all(not state["momentum_buffer"].any() for state in optimiser.state.values())
    assert not open_optimiser(model, Recipe(momentum=0.0)).state


def test_nesterovs_momentum_looks_ahead():
    """v = m v + g and w -= lr (g + m v), by hand: m = 0.5, lr = 0.1, g = 1 and then 2."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    recipe = Recipe(momentum=0.5, learning_rate=0.1, weight_decay=0.0)
    optimiser = open_optimiser(layer, recipe)
    found = []
    for gradient in (1.0, 2.0):
        layer.weight.grad = torch.tensor([[gradient]])
        optimiser.step()
        found.append(layer.weight.item())
    assert found == pytest.approx([1 - 0.1 * 1.5, 1 - 0.1 * 1.5 - 0.1 * (2 + 0.5 * 2.5)])
