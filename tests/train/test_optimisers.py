import pytest
import torch
from torch import nn

from nas.errors import MixnasError
from nas.train.optimisers import TensorFlowRMSprop, open_optimiser
from nas.train.recipe import Recipe


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
