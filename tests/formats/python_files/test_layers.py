"""Single layers in written files: their text, and what they compute."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.blocks.parts import squeeze_excite
from nas.formats.python_files.classes import CLASSES
from nas.formats.python_files.layers import layer
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
    SplitAttention,
    SqueezeExcite,
    out_shape,
    pool_pads,
)

SQUEEZE = (Conv(8, 4, bias=True), Conv(4, 8, bias=True))
ATTENTION = SplitAttention(
    8, 2, Conv(8, 4, bias=True), BatchNorm(4, eps=1e-3), "relu", Conv(4, 16, bias=True)
)


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        (Pool("max", 3, 2), "nn.MaxPool2d(3, stride=2, padding=1)"),
        (Pool("max", 2, 2, ceil=True), "nn.MaxPool2d(2, stride=2, ceil_mode=True)"),
        (Pool("max", 3, padding="same"), "nn.MaxPool2d(3, stride=1, padding=1)"),
        (Pool("max", 3, 2, (0, 1, 0, 1)), "nn.MaxPool2d(3, stride=2, padding=(0, 1))"),
        (Pool("max", 3, 2, "same"), 'PaddedMaxPool2d(3, stride=2, pads="same")'),
        (Pool("max", 2, 1, (0, 1, 2, 3)), "PaddedMaxPool2d(2, stride=1, pads=(1, 3, 0, 2))"),
        (Pool("max", 2, 1, (2, 2, 2, 2)), "PaddedMaxPool2d(2, stride=1, pads=(2, 2, 2, 2))"),
        (
            Pool("max", 2, 2, (0, 0, 1, 1), ceil=True),
            "PaddedMaxPool2d(2, stride=2, pads=(0, 1, 0, 1), ceil=True)",
        ),
        (Pool("average", 2, 2), "nn.AvgPool2d(2, stride=2)"),
        (
            Pool("average", 3, 2),
            "nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)",
        ),
        (
            Pool("average", 3, 2, ceil=True, count_padding=True),
            "nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)",
        ),
        (
            Pool("average", 3, 2, "same", count_padding=True),
            'PaddedAvgPool2d(3, stride=2, pads="same", count_padding=True)',
        ),
        (ChannelShuffle(4), "nn.ChannelShuffle(4)"),
        (LayerNorm(8), "LayerNorm2d(8, eps=1e-06)"),
        (LayerNorm(8, eps=1e-5), "LayerNorm2d(8)"),
        (Scale(8), "Scale(8)"),
        (Scale(8, initial=0.1), "Scale(8, initial=0.1)"),
        (LocalResponseNorm(), "nn.LocalResponseNorm(5)"),
        (
            LocalResponseNorm(3, alpha=0.1, beta=0.5, bias=2.0),
            "nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=2.0)",
        ),
        (Dropout(0.2), "nn.Dropout(0.2)"),
        (Linear(8, 4), "FlatLinear(8, 4)"),
        (Activation("leaky_relu"), "nn.LeakyReLU(negative_slope=0.1)"),
        (squeeze_excite(8, 4, "relu"), "SqueezeExcite(8, 4, nn.ReLU())"),
        (
            SqueezeExcite(*SQUEEZE, "relu", gate="hard_sigmoid"),
            "SqueezeExcite(8, 4, nn.ReLU(), nn.Hardsigmoid())",
        ),
        (
            SqueezeExcite(Conv(8, 4), Conv(4, 8), "relu"),
            "SqueezeExcite(8, 4, nn.ReLU(), bias=False)",
        ),
        (ATTENTION, "SplitAttention(8, 2, nn.BatchNorm2d(4, eps=0.001), nn.ReLU())"),
    ],
)
def test_a_layer_is_written_with_what_differs_from_the_defaults(leaf, text):
    assert str(layer(leaf)) == text


def test_a_squeeze_and_excitation_with_a_single_bias_is_refused():
    squeeze = SqueezeExcite(Conv(8, 4), Conv(4, 8, bias=True), "relu")
    with pytest.raises(ValueError, match="with a single bias cannot be written"):
        layer(squeeze)


def made(leaf):
    """Return the module that the text of a layer makes."""
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor}
    exec("\n".join([*CLASSES.values(), f"made = {layer(leaf)}"]), names)  # noqa: S102
    return names["made"]


def windows(pool, image):
    """Yield the position of every window, its pixels in the image, and how many it counts."""
    height, width = image.shape
    top, left, bottom, right = pool_pads(pool, (1, height, width))
    if pool.padding != "same":  # without what partial windows have beyond
        bottom, right = (pool.margin,) * 2 if pool.padding == "symmetric" else pool.padding[2:]
    _, rows, columns = out_shape(pool, (1, height, width))
    for row in range(rows):
        for column in range(columns):
            first, begin = row * pool.stride - top, column * pool.stride - left
            last, end = first + pool.kernel, begin + pool.kernel
            inside = image[max(first, 0) : max(last, 0), max(begin, 0) : max(end, 0)]
            counted = inside.size
            if pool.count_padding:
                counted = (min(last, height + bottom) - first) * (min(end, width + right) - begin)
            yield (row, column), inside, counted


def pooled(pool, image):
    """Return the pooling of an image by its definition; None if a window has no pixels."""
    found = np.zeros(out_shape(pool, (1, *image.shape))[1:])
    for place, inside, counted in windows(pool, image):
        if not inside.size:
            return None
        found[place] = inside.max() if pool.kind == "max" else inside.sum() / counted
    return found


pads = st.integers(0, 2)
pools = st.builds(
    Pool,
    st.sampled_from(["max", "average"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.one_of(st.sampled_from(["symmetric", "same"]), st.tuples(pads, pads, pads, pads)),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300)
@given(pool=pools, height=st.integers(4, 8), width=st.integers(4, 8))
def test_pooling_is_what_its_definition_says(pool, height, width):
    image = np.random.default_rng(0).standard_normal((height, width)) - 1
    expected = pooled(pool, image)
    assume(expected is not None)
    found = made(pool)(torch.from_numpy(image)[None, None])
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-12)


def test_layers_have_the_outputs_of_their_definitions():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 16, 3, 5), np.float32))
    shuffled = made(ChannelShuffle(4))(x)
    assert all(torch.equal(shuffled[:, i * 4 + g], x[:, g * 4 + i]) for i, g in [(1, 2), (3, 0)])
    pixel = made(LayerNorm(16))(x)[1, :, 2, 3]
    values = x[1, :, 2, 3]
    variance = values.var(correction=0) + 1e-6
    assert torch.allclose(pixel, (values - values.mean()) / variance.sqrt(), atol=1e-6)
    assert torch.allclose(made(Scale(16, initial=0.5))(x), x / 2)
    assert torch.equal(made(Activation("leaky_relu"))(x), torch.where(x < 0, 0.1 * x, x))
    assert made(Linear(240, 4))(x).shape == (2, 4)
    ends = (Conv(16, 4, bias=True), Conv(4, 16, bias=True))
    gated = made(SqueezeExcite(*ends, "relu", gate="hard_sigmoid"))
    torch.nn.init.constant_(gated.expand.bias, 9.0)  # a hard gate is open from 3 on
    torch.nn.init.zeros_(gated.expand.weight)
    assert torch.equal(gated(x), x)


@pytest.mark.parametrize("radix", [1, 2])
def test_split_attention_weights_its_groups(radix):
    leaf = SplitAttention(
        8, radix, Conv(8, 4, bias=True), BatchNorm(4), "relu", Conv(4, 8 * radix, bias=True)
    )
    attention = made(leaf).eval()
    torch.nn.init.zeros_(attention.expand.weight)
    scores = torch.linspace(-1, 1, 8 * radix)
    attention.expand.bias.data = scores
    x = torch.randn(2, 8 * radix, 3, 3, generator=torch.Generator().manual_seed(0))
    found = attention(x)
    share = torch.sigmoid(scores) if radix == 1 else scores.view(2, 8).softmax(0).view(-1)
    expected = (x * share[:, None, None]).view(2, radix, 8, 3, 3).sum(1)
    assert torch.allclose(found, expected, atol=1e-6)
