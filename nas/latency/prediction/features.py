"""Latency features of a network: amounts of work by kind, summed over its layers.

Each feature is an amount of work that is limited by one property of the hardware: multiply-adds of
one kind of convolution, elements that are moved through memory, weights that are read once, layers
that are launched. Latency is close to a linear combination of them with non-negative coefficients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping

from nas.ir import (
    Activation,
    BatchNorm,
    Branches,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Node,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Shape,
    SplitAttention,
    SqueezeExcite,
    Sum,
    branch_inputs,
    elements,
    joined,
    out_shape,
    walk,
)
from nas.lowering import BLOCK

LARGE_KERNELS = (25, 49)  # taps of a depthwise kernel beyond which runtimes may use slower code
_KINDS: Mapping[type, str] = {
    Pool: "pooled elements",  # of all windows
    LayerNorm: "layer-normalised elements",
    LocalResponseNorm: "response-normalised elements",
    ChannelShuffle: "copied elements",
}
LARGE = (1 << 17, 1 << 19)  # elements above which a map exceeds a private and a shared cache


def latency_features(tree: Node, shape: Shape, batch: int = 1) -> dict[str, float]:
    """Return the amounts of work in one run of a network, by kind.

    Args:
        tree: Layer tree in the form that is run.
        shape: Shape of one image (C, H, W).
        batch: Number of images per run.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for layer in walk(tree, shape):
        for name, amount in _work(layer, batch):
            total[name] += amount
    total["skip elements"] += 0  # known of every network
    for name, amount in _joins(tree, shape):
        total[name] += batch * amount
    return dict(total)


def _padded(channels: int) -> int:
    """Round a number of channels up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK


def _work(layer: Layer, batch: int) -> Iterator[tuple[str, float]]:
    """Yield the kinds and amounts of work of one layer."""
    leaf = layer.leaf
    inputs = batch * elements(layer.in_shape)
    outputs = batch * elements(layer.out_shape)
    match leaf:
        case Conv():
            yield from _conv(leaf, layer.out_shape, batch)
            yield from _traffic(inputs + outputs)
            yield "layers", 1
        case MixConv():
            for conv in leaf.convs:
                out = (conv.out_channels, *layer.out_shape[1:])
                yield from _conv(conv, out, batch)
                yield "layers", 1
            yield "copied elements", inputs + outputs
            yield from _traffic(inputs + outputs)
        case SqueezeExcite():
            yield "gated elements", inputs
            yield "gate weights", 2 * leaf.reduce.in_channels * leaf.reduce.out_channels
            yield "gates", 1
            yield from _traffic(2 * inputs)
        case SplitAttention():
            # The groups are added twice: before they are averaged, and once they are weighted.
            yield "skip elements", 2 * (inputs - outputs)
            yield "gated elements", inputs
            for conv in (leaf.reduce, leaf.expand):
                yield "gate weights", conv.in_channels // conv.groups * conv.out_channels
            yield "gates", 1
            yield from _traffic(2 * inputs + outputs)
        case Activation():
            yield f"{leaf.function} elements", inputs
        case Pad():
            yield "padded elements", outputs
            yield "layers", 1
        case Linear():
            yield "linear weights", leaf.in_features * leaf.out_features
        case GlobalPool():
            yield "pooled elements", inputs
        case Pool() | LayerNorm() | LocalResponseNorm() | ChannelShuffle():
            yield _KINDS[type(leaf)], outputs * (leaf.kernel**2 if isinstance(leaf, Pool) else 1)
            yield from _traffic(inputs + outputs)
            yield "layers", 1
        case BatchNorm() | Scale():  # not folded into a convolution
            yield "normalised elements", inputs
        case Dropout() | Flatten():
            pass


def _traffic(amount: int) -> Iterator[tuple[str, float]]:
    """Yield the elements that are moved through memory, and those that exceed each cache."""
    yield "elements", amount
    for bound in LARGE:
        if amount > bound:
            yield f"elements beyond {bound}", amount - bound


def _conv(conv: Conv, out: Shape, batch: int) -> Iterator[tuple[str, float]]:
    _, height, width = out
    pixels = batch * height * width
    if conv.groups == 1:
        madds = conv.taps * _padded(conv.in_channels) * _padded(conv.out_channels) * pixels
        yield ("pointwise madds" if conv.taps == 1 else "dense madds"), madds
        yield "weights", conv.taps * conv.in_channels * conv.out_channels
    elif conv.groups == conv.in_channels == conv.out_channels:
        outputs = _padded(conv.in_channels) * pixels
        kinds = ("depthwise", "strided depthwise") if conv.stride > 1 else ("depthwise",)
        for kind in kinds:
            yield f"{kind} outputs", outputs
            yield f"{kind} rows of taps", outputs * conv.kernel
            yield f"{kind} taps", outputs * conv.taps
        for bound in LARGE_KERNELS:
            if conv.taps > bound:
                yield f"depthwise taps of kernels over {bound}", outputs * conv.taps
        if conv.dilation > 1:
            yield "dilated depthwise taps", outputs * conv.taps
        if isinstance(conv.padding, str) or conv.padding[1]:
            # Kernels at the left and right edges overlap the padding.
            edge = min(width, conv.window[1] - 1)
            yield "edge taps", _padded(conv.in_channels) * batch * height * edge * conv.kernel
    else:
        madds = conv.taps * conv.in_channels // conv.groups * conv.out_channels * pixels
        yield "grouped madds", madds


def _joins(node: Node, shape: Shape) -> Generator[tuple[str, int], None, Shape]:
    """Yield the elements of one image that the containers of a tree add or copy.

    Runtimes copy each slice of the channels, and whatever is concatenated.

    Returns:
        The tree's output shape.
    """
    if isinstance(node, Branches):
        return (yield from _branches(node, shape))
    if not isinstance(node, (Seq, Residual)):
        return out_shape(node, shape)
    inner = shape
    for _, child in node.children:
        inner = yield from _joins(child, inner)
    if isinstance(node, Residual):
        yield "skip elements", elements(shape)
    return inner


def _branches(node: Branches, shape: Shape) -> Generator[tuple[str, int], None, Shape]:
    inputs = branch_inputs(node, shape)
    ends = []
    for (_, child), taken in zip(node.children, inputs, strict=True):
        ends.append((yield from _joins(child, taken)))
    end = joined(node, inputs, ends)
    if isinstance(node, Sum):
        yield "skip elements", elements(end) * (len(ends) - 1)
    else:
        sliced = 0 if isinstance(node, Concat) else elements(shape)
        yield "copied elements", sliced + elements(end)
    if isinstance(node, Cascade):
        yield "skip elements", sum(elements(taken) for taken in inputs[1:])
    return end
