import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks import PoolBlock
from nas.cost import count
from nas.ir import walk
from nas.space import load_space
from nas.spec import Head, Input, Stem, load_network
from nas.torch_model import ResidualSequential, build, zero_residuals
from tests.networks import DEEP, TINY


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=10)
def test_shapes_follow_the_layer_tree(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    spec = spec.replace(num_classes=7, padding=padding, input=Input(resolution=33 + seed % 30))
    shapes = {}
    model = build(spec, seed=0).eval()
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda m, i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:]))
        )
    model(torch.randn(2, *spec.in_shape))
    for layer in walk(spec.tree(), spec.in_shape):
        expected = layer.out_shape[:1] if layer.path == "classifier" else layer.out_shape
        assert shapes[layer.path] == expected, layer.path


def test_a_seed_gives_the_same_weights_and_leaves_the_global_state():
    spec = load_network("mixnet_s").replace(num_classes=10)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, two, other = build(spec, 1), build(spec, 1), build(spec, 2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.stem.conv.weight, other.stem.conv.weight)


def test_zero_residuals_make_blocks_the_identity():
    model = build(load_network("mixnet_s"), 0).eval()
    zero_residuals(model)
    branches = [m for m in model.modules() if isinstance(m, ResidualSequential)]
    assert len(branches) == 11
    x = torch.randn(1, 40, 8, 8)
    assert torch.equal(model.get_submodule("stages.2.1")(x), x)


def test_zero_residuals_leave_networks_from_elsewhere_as_they_are():
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    zero_residuals(model)
    assert model[0].weight.tolist() == [1] * 3


def test_stochastic_depth_rises_linearly_with_the_block():
    model = build(DEEP, 0, dropout=0.3, drop_path=0.6)
    rates = {
        name: module.drop_path
        for name, module in model.named_modules()
        if isinstance(module, ResidualSequential)
    }
    assert rates == {"stages.0.1": pytest.approx(0.6 * 1 / 3)}  # the second of three blocks
    assert model.classifier.dropout == 0.3


def test_weights_are_drawn_by_fan_out_and_those_of_the_classifier_small():
    model = build(load_network("mixnet_s").replace(num_classes=1000), 0)
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    for conv in convs:
        if conv.weight.numel() > 5000:
            fan_out = conv.kernel_size[0] ** 2 * conv.out_channels / conv.groups
            assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        assert conv.bias is None or not conv.bias.any()
    assert sum(conv.weight.numel() > 5000 for conv in convs) > 10
    assert model.classifier.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not model.classifier.bias.any()


def test_blocks_are_those_of_the_stages_in_order():
    model = build(DEEP, 0)
    named = {name: module for name, module in model.named_modules() if name.count(".") == 2}
    expected = [named[name] for name in ("stages.0.0", "stages.0.1", "stages.1.0")]
    assert list(model.blocks()) == expected


ENDS = [
    (Stem(16, before=(8,), padding=0), Head(64, hidden=(32, 16), dropout=0.2)),
    (Stem(16, 4, 4, "identity", padding=0, bias=True, norm="layer"), Head(0, final_norm="layer")),
    (Stem(16), Head(64, hidden=(32,), hidden_norm="batch", activation="hard_swish")),
    (Stem(16, norm="none", bias=True), Head(0, pool="none", hidden=(32, 16), dropout=0.5)),
    (Stem(16), Head(32, pool="none", hidden=(32,), hidden_norm="batch", norm="none")),
    (Stem(16), Head(0, classifier="conv", dropout=0.5)),
    (Stem(16), Head(0, final_norm="batch")),
]


@pytest.mark.parametrize(("stem", "head"), ENDS)
def test_every_end_has_the_layers_and_parameters_of_its_tree(stem, head):
    pool = PoolBlock(channels=16, stride=2)
    spec = TINY.replace(
        stem=stem, head=head, stages=((pool,), *TINY.stages), input=Input(resolution=33)
    )
    model = build(spec, 0).eval()
    leaves = {layer.path for layer in walk(spec.tree(), spec.in_shape)}
    ran = []
    for name, module in model.named_modules():
        if name in leaves:
            module.register_forward_hook(lambda m, i, out, name=name: ran.append(name))
    with torch.no_grad():
        logits = model(torch.randn(3, *spec.in_shape))
    assert logits.shape == (3, 10)
    assert logits.std() > 0
    assert ran == [layer.path for layer in walk(spec.tree(), spec.in_shape)]
    assert sum(p.numel() for p in model.parameters()) == count(spec).params


def test_dropout_in_training_is_before_the_classifier_whatever_it_is():
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    for head in (Head(0), Head(0, classifier="conv"), Head(0, pool="none", hidden=(32,))):
        spec = TINY.replace(head=head, input=Input(resolution=16))
        model = build(spec, 0, dropout=0.5).eval()
        assert torch.equal(model(images), build(spec, 0).eval()(images))
        model.train()
        assert not torch.equal(model(images), model(images))
    hidden = model.get_submodule("hidden.0.linear")
    assert (hidden.dropout, model.classifier.dropout) == (0.0, 0.5)
