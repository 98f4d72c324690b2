"""Realistic weights keep activations away from denormal numbers, which are slow."""

import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
)
from nas.latency import weights as weights_module
from nas.latency.weights import realistic_weights
from nas.space import load_space
from nas.spec import Input, load_network
from nas.torch_model import build, to_loaded_module
from tests.networks import LOWERED, OTHERS
from tests.random_trees import trees


def sizes(spec):
    """Return the mean absolute output of every block."""
    model = build(spec, seed=0).eval()
    weights = realistic_weights(spec.tree())
    own = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    assert own == set(weights)
    model.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in weights.items()}, strict=False
    )
    found = []
    for block in model.blocks():
        block.register_forward_hook(lambda m, i, out: found.append(out.abs().mean().item()))
    with torch.no_grad():
        logits = model(torch.randn(1, *spec.in_shape, generator=torch.Generator().manual_seed(0)))
    return [*found, logits.abs().mean().item()]


@pytest.mark.parametrize(
    "name", [*LOWERED, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_activations_of_references_keep_their_size(name):
    found = sizes(load_network(name).replace(input=Input(resolution=96)))
    assert min(found) > 1e-2
    assert max(found) < 1e2


@pytest.mark.parametrize("name", ["resnet_50", "resnest_50"])
def test_activations_do_not_grow_from_one_residual_block_to_the_next(name):
    assert max(sizes(load_network(name).replace(input=Input(resolution=96)))) < 5


def test_activations_of_random_networks_keep_their_size():
    space, rng = load_space("mixnet"), random.Random(0)
    for _ in range(8):
        found = sizes(space.decode(space.draw(rng)).replace(input=Input(resolution=64)))
        assert min(found) > 1e-2
        assert max(found) < 1e2


def test_no_weight_is_zero_or_denormal():
    weights = realistic_weights(load_network("mixnet_l").tree())
    for array in weights.values():
        assert np.abs(array).min() > 1e-10
        assert array.dtype == np.float32


def test_the_seed_decides():
    tree = load_network("mixnet_s").tree()
    one, same, other = (realistic_weights(tree, seed) for seed in (0, 0, 1))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


# -- sizes ---------------------------------------------------------------------------------------


def deviation(weights, name):
    return float(np.sqrt((weights[name].astype(np.float64) ** 2).mean()))


def test_convolutions_have_outputs_of_unit_variance():
    tree = Seq(
        (
            ("dense", Conv(64, 96, 3, bias=True)),
            ("depthwise", Conv(96, 96, 5, groups=96)),
            ("mix", MixConv((Conv(48, 64, groups=2), Conv(48, 64)))),
            ("act", Activation("relu")),
            ("halved", Conv(128, 96)),
            ("classifier", Linear(96, 500)),
        )
    )
    weights = realistic_weights(tree)
    expected = {
        "dense.weight": 1 / 24,  # 9 x 64 inputs of unit variance
        "dense.bias": 0.1,
        "depthwise.weight": 1 / 5,
        "mix.0.weight": 1 / 24**0.5,  # groups of 24 channels
        "mix.1.weight": 1 / 48**0.5,
        "halved.weight": 1 / 8,  # 128 inputs whose second moment is a half
        "classifier.weight": 1 / 96**0.5,
        "classifier.bias": 0.1,
    }
    assert {name: deviation(weights, name) for name in weights} == pytest.approx(expected, rel=0.09)


def test_residual_sums_and_gates_change_the_size_of_what_follows():
    inner = (("conv", Conv(64, 64)), ("norm", BatchNorm(64)))
    se = SqueezeExcite(Conv(64, 64, bias=True), Conv(64, 64, bias=True), "swish")
    tree = Seq(
        (
            ("pad", Pad((0, 1, 0, 1))),
            ("sum", Residual(inner)),
            ("after", Conv(64, 64)),
            ("gate", se),
            ("gated", Conv(64, 64)),
        )
    )
    weights = realistic_weights(tree)
    sizes = {
        "sum.conv.weight": 1 / 8,
        "after.weight": 1 / 8 / 2**0.5,  # the sum of two of unit variance
        "gate.reduce.weight": 1 / 8,
        "gate.expand.weight": 0.5 / 8 / 0.5**0.5,  # half the size, from halves
        "gated.weight": 1 / 8 / 0.3**0.5,
        "sum.norm.bias": 0.3,
        "sum.norm.running_mean": 0.1,
    }
    for name, size in sizes.items():
        assert deviation(weights, name) == pytest.approx(size, rel=0.2 if "norm" in name else 0.06)
    for name in ("sum.norm.weight", "sum.norm.running_var"):
        assert weights[name].mean() == pytest.approx(1, abs=0.04)
        assert 0.04 < weights[name].std() < 0.09
        assert 0.9 <= weights[name].min() <= weights[name].max() <= 1.1


@given(trees())
@settings(max_examples=40)
def test_every_weight_of_random_trees_is_drawn(case):
    tree, _ = case
    weights = realistic_weights(tree)
    module = to_loaded_module(tree, weights)  # which would refuse too many or too few
    state = module.state_dict()
    assert {name: array.shape for name, array in weights.items()} == {
        name: tuple(tensor.shape) for name, tensor in state.items() if "tracked" not in name
    }
    assert all(array.dtype == np.float32 for array in weights.values())


def test_batch_normalization_knows_the_size_of_its_inputs():
    # The sum of three inputs of unit variance has the second moment 3.
    summed = Sum((("a", Seq(())), ("b", Conv(64, 64)), ("c", Conv(64, 64))))
    tree = Seq((("sum", summed), ("norm", BatchNorm(64)), ("after", Conv(64, 64))))
    weights = realistic_weights(tree)
    assert weights["norm.running_var"].mean() == pytest.approx(3, rel=0.05)
    assert deviation(weights, "norm.running_mean") == pytest.approx(0.1 * 3**0.5, rel=0.2)
    assert deviation(weights, "after.weight") == pytest.approx(1 / 8, rel=0.06)


@pytest.mark.parametrize(
    ("layer", "moment"),
    [
        (Seq(()), 1),
        (Pool("average", 3), 1),
        (Pool("max", 3), 1 + np.log(9)),
        (Dropout(), 1),
        (ChannelShuffle(4), 1),
        (Scale(64), 0.25),
        (LayerNorm(64), 1),
        (LocalResponseNorm(5, 1.0, 0.5, 1.0), 1 / 2),
        (Concat((("a", Seq(())), ("b", Activation("relu")))), 1),
        (Slices((("a", Activation("relu")), ("b", Scale(32))), (32, 32)), 0.5),
        (Cascade((("a", Seq(())), ("b", Seq(()))), (32, 32)), 2),
        (Activation("leaky_relu"), 0.505),
    ],
)
def test_what_layers_make_of_the_size_of_their_inputs(layer, moment):
    tree = Seq((("layer", layer), ("after", Conv(64, 256))))
    weights = realistic_weights(tree)
    assert deviation(weights, "after.weight") == pytest.approx(1 / 8 / moment**0.5, rel=0.02)


@pytest.mark.parametrize(("radix", "moment"), [(1, 0.3), (2, 0.5)])
def test_split_attention(radix, moment):
    reduce, expand = Conv(64, 64, bias=True), Conv(64, 64 * radix, bias=True)
    attention = SplitAttention(64, radix, reduce, BatchNorm(64), "relu", expand)
    weights = realistic_weights(Seq((("split", attention), ("after", Conv(64, 256)))))
    sizes = {
        "split.reduce.weight": 1 / 8 / radix**0.5,  # from a sum of groups
        "split.expand.weight": 0.5 / 8 / 0.5**0.5,
        "after.weight": 1 / 8 / moment**0.5,
    }
    found = {name: deviation(weights, name) for name in sizes}
    assert found == pytest.approx(sizes, rel=0.06)
    lowered = dataclasses.replace(attention, norm=None)
    assert "split.norm.weight" in weights
    assert not [n for n in realistic_weights(Seq((("split", lowered),))) if "norm" in n]


def test_the_pool_of_numbers_starts_over(monkeypatch):
    monkeypatch.setattr(weights_module, "_POOL", 5)
    weights_module._normals.cache_clear()
    try:
        drawing = weights_module._Drawing(0)
        first, second = drawing.normals(2, 2), drawing.normals(3)
        assert first.shape == (2, 2)
        assert second.tolist() == [*drawing.pool[4:].tolist(), *drawing.pool[:2].tolist()]
        assert drawing.normals(1)[0] == drawing.pool[2]
    finally:
        weights_module._normals.cache_clear()


def test_vanishing_inputs_do_not_make_weights_infinite():
    drawing = weights_module._Drawing(0)
    drawing.conv(Conv(64, 64), 0.0, "conv")
    assert deviation(drawing.out, "conv.weight") == pytest.approx(1 / (64e-6) ** 0.5, rel=0.05)


def test_random_numbers_near_zero_are_replaced(monkeypatch):
    numbers = np.array([0.0, 5e-7, -5e-7, 2e-6, -3.0], np.float32)
    drawn = SimpleNamespace(standard_normal=lambda size, dtype: numbers.copy())
    monkeypatch.setattr(weights_module.np.random, "default_rng", lambda seed: drawn)
    pool = weights_module._normals.__wrapped__(0)
    assert pool.tolist() == np.array([1e-6, 1e-6, 1e-6, 2e-6, -3.0], np.float32).tolist()
    assert not pool.flags.writeable
