import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nas.blocks.fields import ACTIVATIONS
from nas.ir import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Conv,
    Dropout,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pool,
    Scale,
    Seq,
    SplitAttention,
    SqueezeExcite,
)
from nas.torch_model import to_loaded_module, to_module
from nas.torch_model.layers import PaddedPool2d, in_place, leaf_module
from tests.random_trees import TreeDrawer


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


def test_a_hard_gate_is_piecewise_linear():
    tree = SqueezeExcite(Conv(3, 1), Conv(1, 3), "identity", gate="hard_sigmoid")
    weights = {
        "reduce.weight": np.array([1.0, 0.0, 0.0], np.float32).reshape(1, 3, 1, 1),
        "expand.weight": np.array([1.0, -4.0, 4.0], np.float32).reshape(3, 1, 1, 1),
    }
    y = to_loaded_module(tree, weights)(torch.full((1, 3, 2, 2), 1.5))
    gates = [1.5 / 6 + 0.5, 0.0, 1.0]
    assert y[0, :, 0, 0].tolist() == pytest.approx([1.5 * gate for gate in gates])


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


def test_a_linear_layer_flattens_a_map_channel_by_channel():
    linear = leaf_module(Linear(12, 2))
    x = torch.randn(3, 2, 2, 3)
    expected = torch.stack([linear.weight @ image.reshape(-1) + linear.bias for image in x])
    assert torch.allclose(linear(x), expected, atol=1e-6)


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation_functions_by_value(function):
    values = [-4.0, -1.0, 0.0, 2.0, 7.0]
    expected = {
        "relu": lambda v: max(v, 0),
        "relu6": lambda v: min(max(v, 0), 6),
        "swish": lambda v: v / (1 + math.exp(-v)),
        "hard_swish": lambda v: v * min(max(v / 6 + 0.5, 0), 1),
        "mish": lambda v: v * math.tanh(math.log1p(math.exp(v))),
        "gelu": lambda v: v / 2 * (1 + math.erf(v / math.sqrt(2))),
        "leaky_relu": lambda v: v if v > 0 else 0.1 * v,
        "identity": lambda v: v,
    }[function]
    y = leaf_module(Activation(function))(torch.tensor(values))
    assert y.tolist() == pytest.approx([expected(v) for v in values], abs=1e-5)


def test_an_activation_function_overwrites_its_input_only_if_told_to():
    x = torch.tensor([-1.0, 1.0])
    relu = leaf_module(Activation("relu"))
    assert (relu(x).tolist(), x.tolist()) == ([0, 1], [-1, 1])
    assert (in_place(relu, True)(x).tolist(), x.tolist()) == ([0, 1], [0, 1])
    gelu = leaf_module(Activation("gelu"))
    assert in_place(gelu, True) is gelu


def begins(size, kernel, stride, before, after, ceil):
    """Return the first pixel of every window along an axis."""
    size += before + after
    count = (size - kernel) // stride + 1
    if ceil and (size - kernel) % stride and count * stride < size - after:
        count += 1
    return [number * stride - before for number in range(count)]


def pooled(pool, image):
    """Pool one channel, window by window."""
    axes = []
    for axis, size in enumerate(image.shape):
        before = after = (pool.kernel - 1) // 2
        if pool.padding == "same":
            total = max((-(-size // pool.stride) - 1) * pool.stride + pool.kernel - size, 0)
            before, after = total // 2, total - total // 2
        elif not isinstance(pool.padding, str):
            before, after = pool.padding[axis], pool.padding[axis + 2]
        ceil = pool.ceil and pool.padding != "same"
        firsts = begins(size, pool.kernel, pool.stride, before, after, ceil)
        real = [(max(first, 0), min(first + pool.kernel, size)) for first in firsts]
        counted = [min(first + pool.kernel, size + after) - first for first in firsts]
        axes.append((real, counted))
    (rows, row_counts), (columns, column_counts) = axes
    result = np.zeros((len(rows), len(columns)))
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            window = image[top:bottom, left:right]
            number = row_counts[i] * column_counts[j] if pool.count_padding else window.size
            result[i, j] = window.max() if pool.kind == "max" else window.sum() / number
    return result


@given(st.data(), st.integers(1, 13), st.integers(1, 13))
@settings(max_examples=150)
def test_pooling_window_by_window(data, height, width):
    pool = TreeDrawer(data.draw, frozenset()).pool((1, height, width))
    image = np.random.default_rng(0).normal(size=(height, width))
    found = leaf_module(pool)(torch.from_numpy(image)[None, None])[0, 0]
    expected = pooled(pool, image)
    assert found.shape == expected.shape
    assert np.allclose(found.numpy(), expected)


def test_torchs_own_pooling_is_used_where_it_can_be():
    assert type(leaf_module(Pool("max", 3, 2))) is nn.MaxPool2d
    assert type(leaf_module(Pool("average", 2, 2, (1, 0, 1, 0)))) is nn.AvgPool2d
    assert type(leaf_module(Pool("max", 3, 1, "same"))) is nn.MaxPool2d
    assert type(leaf_module(Pool("max", 3, 2, "same"))) is PaddedPool2d
    assert type(leaf_module(Pool("max", 3, 2, (0, 0, 1, 1)))) is PaddedPool2d
    assert type(leaf_module(Pool("average", 3, 2, (2, 2, 2, 2)))) is PaddedPool2d


def test_groups_of_channels_are_interleaved():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert leaf_module(ChannelShuffle(2))(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert leaf_module(ChannelShuffle(3))(x).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_layer_normalization_is_over_the_channels_of_a_pixel():
    norm = leaf_module(LayerNorm(4, eps=0.01))
    assert norm.weight.tolist() == [1] * 4
    assert norm.bias.tolist() == [0] * 4
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = torch.randn(2, 4, 3, 5)
    variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    factor, shift = norm.weight[:, None, None], norm.bias[:, None, None]
    assert torch.allclose(
        norm(x), (x - mean) / (variance + 0.01).sqrt() * factor + shift, atol=1e-5
    )


def test_a_scale_multiplies_channels():
    scale = leaf_module(Scale(3, initial=0.25))
    assert scale.weight.tolist() == [0.25] * 3
    with torch.no_grad():
        scale.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(2, 3, 2, 2)
    assert torch.equal(scale(x)[:, 2], 3 * x[:, 2])


def test_responses_are_normalized_by_adjacent_channels():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    y = leaf_module(LocalResponseNorm(3, alpha=0.6, beta=0.5, bias=2.0))(x)
    sums = [1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16]
    expected = [v / math.sqrt(2 + 0.2 * s) for v, s in zip([1, 2, 3, 4], sums, strict=True)]
    assert y.flatten().tolist() == pytest.approx(expected)


def test_dropout_acts_in_training_alone():
    dropout = leaf_module(Dropout(0.25))
    x = torch.ones(1, 1, 100, 100)
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    assert (dropout.train()(x) == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("radix", [1, 2, 3])
def test_split_attention_weights_and_adds_groups(radix):
    torch.manual_seed(0)
    tree = SplitAttention(
        4, radix, Conv(4, 2, bias=True), BatchNorm(2), "relu", Conv(2, 4 * radix, bias=True)
    )
    module = to_module(tree)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    module.eval()
    x = torch.randn(2, 4 * radix, 3, 3)
    groups = [x[:, 4 * r : 4 * (r + 1)] for r in range(radix)]
    mean = sum(groups).mean((2, 3))
    inner = F.linear(mean, module.reduce.weight.flatten(1), module.reduce.bias)
    norm = module.norm
    inner = ((inner - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).relu()
    logits = F.linear(inner, module.expand.weight.flatten(1), module.expand.bias)
    logits = [logits[:, 4 * r : 4 * (r + 1)] for r in range(radix)]
    total = sum(one.exp() for one in logits)
    gates = [one.exp() / total for one in logits] if radix > 1 else [logits[0].sigmoid()]
    expected = sum(g * w[:, :, None, None] for g, w in zip(groups, gates, strict=True))
    assert torch.allclose(module(x), expected, atol=1e-5)
    names = {name for name, _ in module.named_parameters()}
    assert names == {
        f"{part}.{kind}" for part in ("reduce", "norm", "expand") for kind in ("weight", "bias")
    }


def test_containers_are_no_leaves():
    with pytest.raises(TypeError, match="Seq is not a leaf"):
        leaf_module(Seq(()))
