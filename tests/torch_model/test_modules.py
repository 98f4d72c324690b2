import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nas.ir import Activation, BatchNorm, Conv, Linear, MixConv, Pad, Seq, SqueezeExcite
from nas.torch_model import ResidualSequential, to_loaded_module, to_module, weights_of


@given(
    st.integers(5, 40),
    st.sampled_from([1, 2]),
    st.sampled_from([3, 5, 7, 9, 11]),
    st.sampled_from(["symmetric", "same"]),
)
@settings(max_examples=60)
def test_padding_rules(size, stride, kernel, padding):
    torch.manual_seed(0)
    conv = to_module(Conv(2, 3, kernel, stride, padding=padding))
    x = torch.randn(1, 2, size, size)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before = total // 2 if padding == "same" else (kernel - 1) // 2
    after = total - total // 2 if padding == "same" else (kernel - 1) // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), conv.weight, stride=stride)
    assert conv(x).shape[-1] == -(-size // stride)
    assert torch.allclose(conv(x), expected, atol=1e-5)


def test_dropped_branches_keep_the_mean():
    branch = ResidualSequential([("body", torch.nn.Identity())], drop_path=0.25).train()
    torch.manual_seed(0)
    x = torch.ones(20000, 1, 1, 1)
    assert branch(x).mean().item() == pytest.approx(2.0, abs=0.02)
    assert torch.equal(branch.eval()(x), 2 * x)


@given(
    st.integers(1, 12),
    st.sampled_from([1, 2]),
    st.sampled_from([3, 5, 7, 9, 11]),
    st.sampled_from([1, 4]),
)
@settings(max_examples=60)
def test_leaving_out_what_meets_padding_only_changes_nothing(size, stride, kernel, groups):
    torch.manual_seed(0)
    conv = to_module(Conv(4, 4, kernel, stride, groups))
    x = torch.randn(2, 4, size, size, requires_grad=True)
    results = []
    for training in (True, False):
        conv.train(training).zero_grad()
        y = conv(x)
        (grad,) = torch.autograd.grad(y.square().sum(), x, retain_graph=True)
        y.square().sum().backward()
        results.append((y.detach(), grad, conv.weight.grad.clone()))
    for one, two in zip(*results, strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_mixed_convolutions_slice_and_concatenate_the_channels():
    mix = to_module(MixConv((Conv(2, 2, 3, groups=2), Conv(3, 3, 5, groups=3)))).eval()
    x = torch.randn(1, 5, 6, 6)
    y = mix(x)
    assert torch.equal(y[:, :2], F.conv2d(x[:, :2], mix[0].weight, padding=1, groups=2))
    assert torch.equal(y[:, 2:], F.conv2d(x[:, 2:], mix[1].weight, padding=2, groups=3))


def test_columns_that_a_pad_layer_has_added_are_not_padded_again():
    tree = Seq((("pad", Pad((0, 2, 0, 2))), ("conv", Conv(1, 1, 5, padding=(2, 0, 2, 0)))))
    module = to_module(tree)
    x = torch.randn(1, 1, 7, 9)
    expected = F.conv2d(x, module.conv.weight, padding=2)
    assert torch.allclose(module(x), expected, atol=1e-6)


def test_squeeze_and_excitation_gates_channels_by_their_mean():
    tree = SqueezeExcite(Conv(2, 1, bias=True), Conv(1, 2, bias=True), "relu")
    weights = {
        "reduce.weight": np.array([1.0, -2.0], np.float32).reshape(1, 2, 1, 1),
        "reduce.bias": np.array([0.5], np.float32),
        "expand.weight": np.array([1.0, 0.0], np.float32).reshape(2, 1, 1, 1),
        "expand.bias": np.array([0.0, -1.0], np.float32),
    }
    x = torch.stack([torch.full((2, 2), 3.0), torch.full((2, 2), 0.25)])[None]
    y = to_loaded_module(tree, weights)(x)
    reduced = 3.0 - 2 * 0.25 + 0.5  # positive, so that ReLU leaves it
    assert torch.allclose(y[0, 0], 3 * torch.sigmoid(torch.tensor(reduced)).expand(2, 2))
    assert torch.allclose(y[0, 1], 0.25 * torch.sigmoid(torch.tensor(-1.0)).expand(2, 2))


def test_dropout_acts_before_a_linear_layer_in_training_alone():
    linear = to_module(Linear(1000, 1), dropout=0.25)
    torch.nn.init.ones_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    x = torch.ones(1, 1000, 1, 1)
    assert linear.eval()(x).item() == pytest.approx(1000)
    torch.manual_seed(0)
    kept = linear.train()(x).item() * 0.75
    assert kept == pytest.approx(round(kept), abs=1e-2)
    assert 700 < kept < 800


def test_weights_go_out_and_come_back():
    tree = Seq((("conv", Conv(1, 2, 3)), ("norm", BatchNorm(2)), ("act", Activation("relu"))))
    module = to_module(tree).eval()
    module.norm.running_mean.fill_(0.5)
    weights = weights_of(module)
    assert weights["conv.weight"].shape == (2, 1, 3, 3)
    del weights["norm.num_batches_tracked"]
    x = torch.randn(1, 1, 5, 5)
    assert torch.equal(to_loaded_module(tree, weights)(x), module(x))
    mean = weights.pop("norm.running_mean")
    with pytest.raises(KeyError, match=r"missing or unexpected weights: norm\.running_mean"):
        to_loaded_module(tree, weights)
    weights |= {"norm.running_mean": mean, "norm.extra": mean}
    with pytest.raises(KeyError, match=r"missing or unexpected weights: norm\.extra"):
        to_loaded_module(tree, weights)
