import pytest
import torch
from torch import nn

from nas.errors import MixnasError
from nas.train.optimisers import (
    Ranger,
    TensorFlowRMSprop,
    _optimiser_class,
    centralise,
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
        (
            {"optimiser": "ranger", "weight_decay": 0.01},
            Ranger,
            {"betas": (0.95, 0.999), "eps": 1e-5, "decoupled_weight_decay": True},
        ),
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
    assert type(open_optimiser(model, Recipe(optimiser="lion"))).__name__ == "Lion"
    with pytest.raises(MixnasError, match="optimizer 'sgdd'; allowed: sgd, rmsprop, adamw, ranger"):
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


@pytest.mark.parametrize("name", ["sgdp", "adamp", "adabelief", "lion"])
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
    optimiser = open_optimiser(model, Recipe(optimiser="adabelief"))
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
        ("adamw", "cpu", True),
        ("adamw", "mps", True),
        ("adamw", "xpu", False),
    ],
)
def test_fused_kernels_where_they_exist(name, device, fused):
    _, options = _optimiser_class(Recipe(optimiser=name), device)
    assert options["fused"] is fused


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


def steps_of(optimiser, weight, gradients):
    """Take steps with the given gradients; return the weight's values after each."""
    values = []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimiser.step()
        values.append(weight.flatten()[0].item())
    return values


def test_ranger_by_hand():
    """Twelve steps with the gradient 2, whose moments are 2 and 4 after correction of their bias.

    Five steps of lr * 2 are not rectified, the others are lr * r_t * 2 / sqrt(4) (Liu et al. 2020,
    algorithm 2). After six, the slow weight has gone half of the way (Zhang et al. 2019), and the
    weight goes on from there.
    """

    def rectified(t):
        longest = 2 / (1 - 0.999) - 1
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        above = (length - 4) * (length - 2) * longest
        return (above / ((longest - 4) * (longest - 2) * length)) ** 0.5

    weight = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimiser = Ranger([weight], lr=0.01, betas=(0.95, 0.999), eps=0)
    found = steps_of(optimiser, weight, [2.0] * 12)
    fast, expected = 3.0, []
    for _ in range(5):
        fast -= 0.01 * 2
        expected.append(fast)
    slow = 3.0 + 0.5 * (fast - 0.01 * rectified(6) - 3.0)
    fast = slow
    expected.append(slow)
    for t in range(7, 12):
        fast -= 0.01 * rectified(t)
        expected.append(fast)
    expected.append(slow + 0.5 * (fast - 0.01 * rectified(12) - slow))
    assert found == pytest.approx(expected, rel=1e-9)


def test_ranger_is_radam_of_torch_between_two_meetings():
    """Weights that met begin anew from the slow ones; moments and numbers of steps go on."""
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3), torch.randn(20, 4, 3)
    options = {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}
    weight, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimiser, radam = Ranger([weight], **options), torch.optim.RAdam([other], **options)
    slow = start.clone()
    for number, gradient in enumerate(gradients, 1):
        weight.grad, other.grad = gradient.clone(), gradient.clone()
        optimiser.step()
        radam.step()
        if number % 6 == 0:
            slow = slow + 0.5 * (other.detach() - slow)
            other.data.copy_(slow)
        assert torch.allclose(weight, other, rtol=1e-6, atol=1e-7)
    assert torch.allclose(optimiser.state[weight]["slow"], slow, atol=1e-6)


def test_ranger_goes_downhill_from_the_first_step_on(model):
    optimiser = open_optimiser(model, Recipe(optimiser="ranger", learning_rate=0.01))
    images, labels = torch.randn(8, 1, 3, 3), torch.arange(8) % 3
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    assert losses[:5] == sorted(losses[:5], reverse=True)


def test_ranger_leaves_weights_without_a_gradient(model):
    optimiser = open_optimiser(model, Recipe(optimiser="ranger"))
    frozen = model[3].weight.detach().clone()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    optimiser.step()
    assert torch.equal(model[3].weight, frozen)
    assert list(optimiser.state) == [model[0].weight]


def test_centralized_gradients_have_mean_zero_in_each_output_channel(model):
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    bias, before = model[0].bias.grad.clone(), model[3].weight.grad.clone()
    model[1].weight.grad = None
    centralise(model.parameters())
    assert model[0].weight.grad.mean((1, 2, 3)).abs().max() < 1e-7
    assert torch.allclose(model[3].weight.grad, before - before.mean(1, keepdim=True))
    assert torch.equal(model[0].bias.grad, bias)
    assert model[1].weight.grad is None
