"""The torch modules: shapes, padding, repeatability, and equality with timm where it is there."""

import contextlib
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from nas.errors import MixnasError
from nas.ir import Conv, walk
from nas.space import load_space
from nas.spec import Input, Norm, load_network
from nas.torch_model import (
    ResidualSequential,
    build,
    load_timm_state_dict,
    load_weights,
    to_module,
    zero_residuals,
)

TIMM = {
    "mixnet_s": "mixnet_s",
    "mixnet_m": "mixnet_m",
    "mixnet_l": "mixnet_l",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet_b0": "efficientnet_b0",
}


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


def test_dropped_branches_keep_the_mean():
    branch = ResidualSequential([("body", torch.nn.Identity())], drop_path=0.25).train()
    torch.manual_seed(0)
    x = torch.ones(20000, 1, 1, 1)
    assert branch(x).mean().item() == pytest.approx(2.0, abs=0.02)
    assert torch.equal(branch.eval()(x), 2 * x)


def test_weights_are_read_from_safetensors(tmp_path):
    spec = load_network("mixnet_s").replace(num_classes=10)
    one, two = build(spec, 1), build(spec, 2)
    save_file(one.state_dict(), tmp_path / "w.safetensors")
    load_weights(two, tmp_path / "w.safetensors")
    assert torch.equal(one.stem.conv.weight, two.stem.conv.weight)
    with pytest.raises(MixnasError, match="no such file"):
        load_weights(two, tmp_path / "none.safetensors")
    with pytest.raises(MixnasError, match="of another network"):
        load_weights(build(load_network("mixnet_s"), 1), tmp_path / "w.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(MixnasError, match="no safetensors file"):
        load_weights(two, tmp_path / "bad.safetensors")


def test_foreign_weights_are_refused_and_the_model_kept():
    model = build(load_network("mixnet_s"), 1)
    before = model.stem.conv.weight.clone()
    with pytest.raises(MixnasError, match=r"'conv_stem.weight' is missing.* and \d+ more"):
        load_timm_state_dict(model, {})
    assert torch.equal(model.stem.conv.weight, before)


@pytest.fixture(scope="module")
def timm():
    """timm, beside a CPU build of torch: its torchvision operators are declared, not run."""
    declared = [torch.library.Library("torchvision", "FRAGMENT")]
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # a whole torchvision has them already
            declared[0].define(f"{name}(Tensor d, Tensor s, float t) -> Tensor")
    return pytest.importorskip("timm", reason="timm is not installed", exc_type=ImportError)


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_outputs_equal_timms(timm, name, padding):
    torch.manual_seed(0)
    theirs_name = TIMM[name] if padding == "symmetric" else f"tf_{TIMM[name]}"
    if theirs_name not in timm.list_models():
        pytest.skip(f"timm has no {theirs_name}")
    theirs = timm.create_model(theirs_name).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    spec = load_network(name)
    if padding == "same":
        spec = spec.replace(padding="same", norm=Norm(1e-3, 0.01))
    ours = build(spec).eval()
    load_timm_state_dict(ours, theirs.state_dict())
    x = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        assert (ours(x) - theirs(x)).abs().max() <= 1e-5


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
