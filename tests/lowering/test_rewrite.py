"""Lowered networks against trained ones, in ONNX Runtime and as torch modules."""

import random
from itertools import accumulate

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.formats.onnx import to_onnx
from nas.ir import (
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Pad,
    Seq,
    SqueezeExcite,
    walk,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, Form, candidates, lower
from nas.lowering.forms import MergeAll, fits
from nas.space import load_space
from nas.spec import Input, load_network
from nas.torch_model import build, lower_module
from tests.lowering.any_form import AnyForm
from tests.networks import LOWERED, OTHERS, small, trained_like
from tests.test_spec import specs


def outputs(tree, shape, weights):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    graph = to_onnx(tree, shape, weights).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    return session.run(None, {"images": images})[0]


def difference(tree, shape, choice, weights=None):
    """Return the largest difference between lowered and plain outputs, relative to the largest."""
    weights = realistic_weights(tree) if weights is None else weights
    plain = outputs(tree, shape, weights)
    lowered = outputs(*(lambda t, w: (t, shape, w))(*lower(tree, shape, weights, choice)))
    return np.abs(plain - lowered).max() / np.abs(plain).max()


@pytest.mark.parametrize("name", LOWERED)
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("resolution", [64, 65])
def test_references(name, padding, resolution):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=resolution))
    assert difference(spec.tree(), spec.in_shape, MERGE_ALL) < 1e-4
    assert difference(spec.tree(), spec.in_shape, AnyForm(1)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_of_every_family(name):
    spec = small(name)
    assert difference(spec.tree(), spec.in_shape, MERGE_ALL) < 1e-4
    assert difference(spec.tree(), spec.in_shape, AnyForm(1)) < 1e-4


@given(specs, st.integers(0, 10**6))
@settings(max_examples=60)
def test_every_kind_of_block_in_any_form(spec, seed):
    assert difference(spec.tree(), spec.in_shape, AnyForm(seed)) < 1e-4


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=15)
def test_random_members_of_mixnet(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    spec = spec.replace(padding=padding, num_classes=10, input=Input(resolution=32 + seed % 33))
    for choice in (MERGE_ALL, AnyForm(seed)):
        assert difference(spec.tree(), spec.in_shape, choice) < 1e-4


kernels = st.lists(st.sampled_from([1, 3, 5, 7, 9, 11]), min_size=1, max_size=5)


@given(
    kernels,
    st.lists(st.integers(1, 7), min_size=5, max_size=5),
    st.sampled_from([1, 2]),
    st.sampled_from(["symmetric", "same"]),
    st.integers(1, 14),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=150)
def test_uneven_depthwise_slices(kernels, widths, stride, padding, size, dilated, seed):
    rng = random.Random(seed)

    def conv(kernel, width):
        dilation = rng.choice([1, 2, 3]) if dilated and kernel > 1 else 1
        return Conv(width, width, kernel, stride, width, dilation, padding=padding)

    mix = MixConv(tuple(map(conv, kernels, widths)))
    channels = sum(widths[: len(kernels)])
    tree = Seq((("conv", mix), ("norm", BatchNorm(channels))))
    same = difference(with_ends(tree, channels), (3, size, size), AnyForm(seed))
    assert same < 1e-5


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=4),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=80)
def test_uneven_pointwise_slices(widths, bias, seed):
    mix = MixConv(tuple(Conv(i, o, bias=bias) for i, o in widths))
    taken, given_ = sum(i for i, _ in widths), sum(o for _, o in widths)
    tree = Seq((("conv", mix), ("norm", BatchNorm(given_))))
    assert difference(with_ends(tree, taken, given_), (3, 5, 5), AnyForm(seed)) < 1e-5


def with_ends(tree, inputs, outputs=None):
    """Put a 1x1 convolution before, and pooling with a classifier after."""
    return Seq(
        (
            ("before", Conv(3, inputs, bias=True)),
            ("middle", tree),
            ("pool", GlobalPool()),
            ("classifier", Linear(outputs or inputs, 5)),
        )
    )


def test_one_convolution_is_left_of_a_mixed_one():
    spec = load_network("mixnet_m")
    tree, _ = lower(spec.tree(), spec.in_shape, realistic_weights(spec.tree()))
    leaves = [layer.leaf for layer in walk(tree, spec.in_shape)]
    assert not any(isinstance(leaf, (MixConv, BatchNorm)) for leaf in leaves)
    assert max(leaf.kernel for leaf in leaves if isinstance(leaf, Conv)) == 9


def test_weights_of_small_kernels_are_padded_with_zeros():
    mix = MixConv((Conv(1, 1, 3), Conv(1, 1, 5)))
    weights = {f"mix.{i}.weight": np.ones((1, 1, k, k), np.float32) for i, k in enumerate((3, 5))}

    class Dense:
        def form(self, mix, shape):
            return Form((2,), dense=True)

    tree, merged = lower(Seq((("mix", mix),)), (2, 9, 9), weights, Dense())
    conv = tree.children[0][1]
    assert (conv.in_channels, conv.kernel, conv.groups) == (2, 5, 1)
    kernel = merged["mix.weight"]
    assert kernel[0, 0].sum() == 9
    assert kernel[0, 0, 1:4, 1:4].min() == 1
    assert kernel[1, 1].sum() == 25
    assert kernel[0, 1].sum() == kernel[1, 0].sum() == 0


class Always:
    """Chooses one form for every layer."""

    def __init__(self, form):
        self._form = form

    def form(self, mix, shape):
        return self._form

    def wide_gate(self, se, shape):
        return False


def test_a_form_that_does_not_fit_is_refused():
    spec = load_network("mixnet_s")
    with pytest.raises(ValueError, match="form '7' does not fit the convolutions at 'stages"):
        lower(spec.tree(), spec.in_shape, realistic_weights(spec.tree()), Always(Form((7,))))


class Only(MergeAll):
    """Chooses a form for one mixed convolution, and the default ones elsewhere."""

    def __init__(self, form, mix):
        self._form, self._mix = form, mix

    def form(self, mix, shape):
        return self._form if mix == self._mix else super().form(mix, shape)


def depthwise(*kernels, width=4):
    return tuple(Conv(width, width, kernel, groups=width) for kernel in kernels)


@pytest.mark.parametrize(
    ("convs", "form"),
    [
        (depthwise(3, 5), Form((2,), dense=True)),
        (depthwise(3, 5), Form((1, 1), padded=True)),
        (depthwise(3, 5), Form((0, 2))),
        (depthwise(3, 5), Form((1,))),
        (depthwise(3, 5), Form(())),
        (depthwise(3, 5), Form((2,), phased=True)),
        (depthwise(7), Form((1,), padded=True, phased=True)),
        (depthwise(1), Form((1,), padded=True)),
        ((Conv(9, 16), Conv(8, 16)), Form((2,))),
        ((Conv(8, 8, 3, groups=8), Conv(8, 8, 3, groups=4)), Form((2,))),
        ((Conv(8, 8, 3, groups=4), Conv(8, 8, 3, groups=4)), Form((2,), dense=True)),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(convs, form):
    tree = Seq((("mix", MixConv(convs)),))
    shape = (sum(conv.in_channels for conv in convs), 9, 9)
    with pytest.raises(ValueError, match="does not fit the convolutions at 'mix'"):
        lower(tree, shape, realistic_weights(tree), Always(form))


@given(
    kernels,
    st.integers(0, 10**6),
    st.lists(st.integers(1, 3), min_size=5, max_size=5),
    st.booleans(),
)
@settings(max_examples=60)
def test_whatever_fits_is_computed_rightly(kernels, seed, runs, pointwise):
    """Also forms that are no candidates, such as three kernels merged and two left alone."""
    rng = random.Random(seed)
    convs = tuple(Conv(4, 4, 1 if pointwise else k, groups=1 if pointwise else 4) for k in kernels)
    mix, channels = MixConv(convs), 4 * len(convs)
    kinds = [{name: rng.random() < 0.5 for name in ("dense", "padded", "phased")}, {}]
    cut = [size for size, end in zip(runs, accumulate(runs), strict=True) if end <= len(convs)]
    for kind in kinds:
        form = Form((*cut, *[1] * (len(convs) - sum(cut))), **kind)
        if fits(form, mix):
            tree = with_ends(Seq((("conv", mix), ("norm", BatchNorm(channels)))), channels)
            assert difference(tree, (3, 9, 9), Only(form, mix)) < 1e-5


@pytest.mark.parametrize("name", ["mixnet_s", "efficientnet_b0"])
def test_trained_modules_become_deployed_ones(name):
    spec = load_network(name).replace(padding="same", input=Input(resolution=64))
    model = trained_like(spec)
    images = torch.randn(2, *spec.in_shape, generator=torch.Generator().manual_seed(0))
    for choice in (MERGE_ALL, AnyForm(0)):
        deployed = lower_module(model, choice)
        with torch.no_grad():
            theirs, ours = model(images), deployed(images)
        assert (theirs - ours).abs().max() < 1e-4 * theirs.abs().max()
        kinds = {type(module) for module in deployed.modules()}
        assert torch.nn.BatchNorm2d not in kinds
    assert sum(p.numel() for p in build(spec).parameters()) == sum(
        p.numel() for p in model.parameters()
    )


def test_padding_and_gates_are_leaves_of_the_tree():
    class Padded(AnyForm):
        def form(self, mix, shape):
            forms = candidates(mix)
            return forms.get("padded", next(iter(forms.values())))

        def wide_gate(self, se, shape):
            return True

    spec = load_network("mixnet_s")
    tree, _ = lower(spec.tree(), spec.in_shape, realistic_weights(spec.tree()), Padded(0))
    leaves = [layer.leaf for layer in walk(tree, spec.in_shape)]
    assert sum(isinstance(leaf, Pad) for leaf in leaves) > 5
    assert all(leaf.wide for leaf in leaves if isinstance(leaf, SqueezeExcite))
    last = list(walk(tree, spec.in_shape))[-1]
    assert last.out_shape == (1000, 1, 1)
