import pytest
import torch

from nas.spec import Head, Input
from nas.torch_model import build, lower_module, weights_of
from tests.networks import DEEP


def test_a_lowered_module_computes_the_same_and_leaves_the_model_as_it_was():
    model = build(DEEP.replace(input=Input(resolution=20)), 0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    model.eval()
    before = {name: array.copy() for name, array in weights_of(model).items()}
    lowered = lower_module(model)
    images = torch.randn(3, 3, 20, 20)
    with torch.no_grad():
        expected, found = model(images), lowered(images)
    assert found.shape == (3, 10)
    assert not lowered.training
    assert (found - expected).abs().max() <= 1e-5 * max(1, expected.abs().max().item())
    assert expected.std().item() > 0
    assert all((weights_of(model)[name] == array).all() for name, array in before.items())


@pytest.mark.parametrize(
    "head",
    [
        Head(0, classifier="conv", dropout=0.5),
        Head(0, pool="none", hidden=(32, 16), dropout=0.5),
        Head(64, hidden=(32,), hidden_norm="batch"),
        Head(0, final_norm="layer"),
    ],
)
def test_lowered_modules_of_every_head_return_logits(head):
    model = build(DEEP.replace(head=head, input=Input(resolution=20)), 0).eval()
    images = torch.randn(3, 3, 20, 20)
    with torch.no_grad():
        expected, found = model(images), lower_module(model)(images)
    assert found.shape == (3, 10)
    assert torch.allclose(found, expected, atol=1e-5)


def test_mixed_convolutions_and_batch_normalization_are_gone():
    lowered = lower_module(build(DEEP, 0).eval())
    kinds = {type(module).__name__ for module in lowered.modules()}
    assert "SymmetricConv2d" in kinds
    assert not kinds & {"BatchNorm2d", "MixConv2d"}


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_does_not_matter(training):
    model = build(DEEP, 0).train(training)
    assert not lower_module(model).training
    assert model.training == training
