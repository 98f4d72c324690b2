"""What a network's latency is made of: sums of work over its layers, by kind.

Each feature is an amount that some kind of hardware limit turns into time: multiply-adds of one
kind of convolution, elements that pass through memory, weights that are read once, layers that are
started. Latency is close to a sum of non-negative multiples of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from nas.ir import (
    Activation,
    Conv,
    GlobalPool,
    Layer,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    SqueezeExcite,
    elements,
    out_shape,
    walk,
)
from nas.lowering import BLOCK

LARGE = (1 << 17, 1 << 19)  # elements of maps that leave a core's own cache, or a shared one


def latency_features(tree: Node, shape: Shape, batch: int = 1) -> dict[str, float]:
    """Return amounts of work by kind, for `batch` images of `shape`.

    Args:
        tree: as it is run: the lowered tree of a lowered network.
        shape: of one image.
        batch: images a run.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for layer in walk(tree, shape):
        for name, amount in _work(layer, batch):
            total[name] += amount
    total["skip elements"] += batch * _skips(tree, shape)[0]
    return dict(total)


def _padded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _work(layer: Layer, batch: int) -> Iterator[tuple[str, float]]:
    """Yield the work of one layer, kind by kind."""
    leaf, inside, outside = (
        layer.leaf,
        batch * elements(layer.in_shape),
        batch * elements(layer.out_shape),
    )
    match leaf:
        case Conv():
            yield from _conv(leaf, layer.out_shape, batch)
            yield from _traffic(inside + outside)
            yield "layers", 1
        case MixConv():
            for conv in leaf.convs:
                out = (conv.out_channels, *layer.out_shape[1:])
                yield from _conv(conv, out, batch)
                yield "layers", 1
            yield "copied elements", inside + outside
            yield from _traffic(inside + outside)
        case SqueezeExcite():
            yield "gated elements", inside
            yield "gate weights", 2 * leaf.reduce.in_channels * leaf.reduce.out_channels
            yield "gates", 1
            yield from _traffic(2 * inside)
        case Activation():
            yield f"{leaf.function} elements", inside
        case Pad():
            yield "padded elements", outside
            yield "layers", 1
        case Linear():
            yield "linear weights", leaf.in_features * leaf.out_features
        case GlobalPool():
            yield "pooled elements", inside
        case _:  # batch normalisation that was not folded
            yield "normalised elements", inside


def _traffic(amount: int) -> Iterator[tuple[str, float]]:
    """Yield what goes through memory, and what of it goes beyond the caches."""
    yield "elements", amount
    for bound in LARGE:
        if amount > bound:
            yield f"elements beyond {bound}", amount - bound


def _conv(conv: Conv, out: Shape, batch: int) -> Iterator[tuple[str, float]]:
    _, height, width = out
    pixels = batch * height * width
    if conv.groups == 1:
        madds = conv.kernel**2 * _padded(conv.in_channels) * _padded(conv.out_channels) * pixels
        yield ("pointwise madds" if conv.kernel == 1 else "dense madds"), madds
        yield "weights", conv.kernel**2 * conv.in_channels * conv.out_channels
    elif conv.groups == conv.in_channels == conv.out_channels:
        outputs = _padded(conv.in_channels) * pixels
        kinds = ("depthwise", "strided depthwise") if conv.stride > 1 else ("depthwise",)
        for kind in kinds:
            yield f"{kind} outputs", outputs
            yield f"{kind} rows of taps", outputs * conv.kernel
            yield f"{kind} taps", outputs * conv.kernel**2
        if conv.padding != "rows":  # outputs whose kernel reaches over the left or right edge
            edge = min(width, conv.kernel - 1)
            yield "edge taps", _padded(conv.in_channels) * batch * height * edge * conv.kernel
    else:
        madds = conv.kernel**2 * conv.in_channels // conv.groups * conv.out_channels * pixels
        yield "grouped madds", madds


def _skips(node: Node, shape: Shape) -> tuple[int, Shape]:
    """Return the elements of all residual sums in a tree, and its output's shape."""
    if not isinstance(node, (Seq, Residual)):
        return 0, out_shape(node, shape)
    summed = elements(shape) if isinstance(node, Residual) else 0
    for _, child in node.children:
        inside, shape = _skips(child, shape)
        summed += inside
    return summed, shape
