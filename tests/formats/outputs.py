"""Networks in other formats against torch, and the networks on which they are tried."""

import random

import numpy as np
import torch
from hypothesis import strategies as st

from nas.ir import Conv, MixConv, Residual, Seq, Slices, Sum
from nas.lowering import MERGE_ALL, candidates, lower
from nas.space import load_space
from nas.spec import Input
from nas.torch_model.modules import to_loaded_module
from tests.networks import trained_like

ACTIVATIONS = ["relu", "relu6", "swish", "hard_swish", "mish", "gelu", "identity"]


class Phases:
    """Splits mixes, and writes large kernels as sums."""

    def form(self, mix, shape):
        forms = candidates(mix)
        return forms.get("split phases", forms.get("phases", MERGE_ALL.form(mix, shape)))

    def wide_gate(self, se, shape):
        return False


def difference(run, tree, shape, weights, choice=None, batch=3):
    """Return the largest difference to torch's outputs on any row, relative to the largest.

    Args:
        run: Writes and runs a network: ``run(tree, shape, weights, images)``.
        tree: The network.
        shape: Shape of an image.
        weights: Its weights.
        choice: Rule by which it is lowered first.
        batch: Number of images.
    """
    images = np.random.default_rng(0).standard_normal((batch, *shape), dtype=np.float32)
    expected = to_loaded_module(tree, weights)(torch.from_numpy(images)).detach().numpy()
    if choice is not None:
        tree, weights = lower(tree, shape, weights, choice)
    outputs = run(tree, shape, weights, images)
    assert outputs.shape == expected.shape
    return np.abs(outputs - expected).max() / (np.abs(expected).max() or 1)


def of_spec(run, spec, choice=None, batch=3):
    """Return the difference for a network with weights as if it had been trained."""
    model = trained_like(spec)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    return difference(run, spec.tree(), spec.in_shape, weights, choice, batch)


@st.composite
def members(draw):
    """Draw a network of the space of MixNets, with few classes and small images."""
    seed, space = draw(st.integers(0, 10**9)), load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    padding = draw(st.sampled_from(["symmetric", "same"]))
    return spec.replace(padding=padding, num_classes=10, input=Input(resolution=30 + seed % 9))


@st.composite
def convolutions(draw):
    """Draw a convolution in a tree, the shape of its input, and the rule by which it is lowered."""
    inputs, outputs, groups = draw(
        st.sampled_from([(6, 6, 6), (6, 12, 6), (6, 12, 3), (6, 4, 1)]), "channels"
    )
    conv = Conv(
        inputs,
        outputs,
        kernel=draw(st.sampled_from([1, 3, 5, 7, 9, 11]), "kernel"),
        stride=draw(st.sampled_from([1, 2]), "stride"),
        groups=groups,
        dilation=draw(st.sampled_from([1, 2]), "dilation"),
        bias=True,
        padding=draw(st.sampled_from(["symmetric", "same"]), "padding"),
    )
    size = draw(st.integers(3, 20), "size")
    choice = Phases() if draw(st.booleans(), "phased") else None
    return Seq((("conv", conv),)), (inputs, size, size + 1), choice


@st.composite
def lowered_trees(draw):
    """Draw a tree of what only lowering makes, and the shape of its input.

    Explicit padding on four sides, rectangular kernels, sums, and uneven slices of other trees.
    """
    widths = draw(st.lists(st.sampled_from([1, 3, 4, 8]), min_size=2, max_size=4), "widths")
    stride, dilation = draw(st.sampled_from([1, 2]), "stride"), draw(st.sampled_from([1, 2]))

    def conv(width, depthwise):
        rows, columns = (draw(st.integers(1, 4), side) for side in ("rows", "columns"))
        top, left = (draw(st.integers(0, 2), "pad") for _ in range(2))
        bottom, right = (  # so that outputs have the same size, whatever the kernel
            (taps - 1) * dilation + 2 - before for taps, before in ((rows, top), (columns, left))
        )
        pads = (top, left, bottom, right)
        groups = width if depthwise else 1
        return Conv(width, width, rows, stride, groups, dilation, True, pads, columns)

    named = []
    for i, width in enumerate(widths):
        depthwise = draw(st.booleans(), "depthwise")
        branches = [(f"b{j}", conv(width, depthwise)) for j in range(draw(st.integers(1, 3)))]
        named.append((f"s{i}", Sum(tuple(branches)) if len(branches) > 1 else branches[0][1]))
    mix = MixConv(tuple(Conv(w, 2 * w, 3) for w in widths))
    tree = Seq(
        (
            ("around", Residual((("mix", mix), ("back", Conv(2 * sum(widths), sum(widths), 1))))),
            ("slices", Slices(tuple(named))),
        )
    )
    size = draw(st.integers(3, 9), "size")
    return tree, (sum(widths), size, size + 2)
