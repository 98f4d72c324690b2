"""Walking a layer tree, and writing its layers as a TensorFlow Lite model.

As converters do, batch normalization is folded into the convolution before it, and ReLU becomes
part of the operator before it. The batch size is part of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import numpy as np

from nas.formats.tflite.attention import write_split_attention, write_squeeze_excite
from nas.formats.tflite.layers import (
    fusable,
    write_activation,
    write_conv,
    write_linear,
    write_shuffle,
)
from nas.formats.tflite.normalization import (
    write_batch_norm,
    write_layer_norm,
    write_response_norm,
    write_scale,
)
from nas.formats.tflite.operators import TfliteGraph
from nas.formats.tflite.pooling import write_global_pool, write_pool
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
    LayerNorm,
    Leaf,
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
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    branch_inputs,
    child_path,
    joined,
    out_shape,
    walk,
)
from nas.lowering import AS_TRAINED, lower


def to_tflite(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    name: str = "",
    properties: Mapping[str, str] | None = None,
    batch: int = 1,
) -> bytes:
    """Return a layer tree with its weights as a TensorFlow Lite model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.
        name: Name of the graph.
        properties: Metadata of the model, texts by name.
        batch: Number of images.

    Returns:
        The model: ``images`` (batch, H, W, C) float32 -> ``logits`` (batch, classes).
    """
    if any(_has_norm(layer.leaf) for layer in walk(tree, shape)):
        tree, weights = lower(tree, shape, weights, AS_TRAINED)
    graph = TfliteGraph(weights, batch)
    images = graph.maps("images", shape)
    logits, _ = _write(graph, tree, images, shape, "")
    if logits == images:  # nothing was written, but a tensor has one name only
        logits = graph.reshape(images, graph.shape(images), "logits")
    graph.rename(logits, "logits")
    return graph.model(images, logits, name or "network", properties or {})


def _has_norm(leaf: Leaf) -> bool:
    """Return whether a layer is, or holds, something that is folded into a convolution."""
    if isinstance(leaf, SqueezeExcite | SplitAttention):
        return leaf.norm is not None
    return isinstance(leaf, BatchNorm | Scale)


def _write(
    graph: TfliteGraph, node: Node, x: int, shape: Shape, path: str, function: str = ""
) -> tuple[int, Shape]:
    """Write a tree with the input tensor `x`; return its output tensor and shape (C, H, W).

    Args:
        graph: Where it is written.
        node: The tree.
        x: Tensor of its input.
        shape: Shape of its input.
        path: Its path.
        function: Activation function that its last operator does as well; empty for none.
    """
    match node:
        case Seq():
            return _write_sequence(graph, node, x, shape, path)
        case Residual():
            y, end = _write_sequence(graph, node, x, shape, path)
            return graph.binary("ADD", x, y, f"{path}.add", function), end
        case Sum() | Concat() | Slices() | Cascade():
            return _write_branches(graph, node, x, shape, path, function)
        case MixConv():
            slices = Slices(tuple((str(i), conv) for i, conv in enumerate(node.convs)))
            return _write_branches(graph, slices, x, shape, path)
    return _write_leaf(graph, node, x, shape, path, function), out_shape(node, shape)


def _write_sequence(
    graph: TfliteGraph, node: Seq | Residual, x: int, shape: Shape, path: str
) -> tuple[int, Shape]:
    following = [after for _, after in node.children[1:]]
    function = ""
    for (name, child), after in zip_longest(node.children, following):
        if function:  # the layer before has done this one
            function = ""
            continue
        function = _fused(child, after)
        x, shape = _write(graph, child, x, shape, child_path(path, name), function)
    return x, shape


def _write_branches(
    graph: TfliteGraph, node: Branches, x: int, shape: Shape, path: str, function: str = ""
) -> tuple[int, Shape]:
    inputs = branch_inputs(node, shape)
    parts = [x] * len(inputs)
    if isinstance(node, Slices | Cascade):
        parts = graph.split(x, [channels for channels, _, _ in inputs], path)
    outputs: list[int] = []
    ends: list[Shape] = []
    for (name, child), part, taken in zip(node.children, parts, inputs, strict=True):
        inside = child_path(path, name)
        if isinstance(node, Cascade) and outputs:
            part = graph.binary("ADD", part, outputs[-1], f"{inside}.in")
        y, end = _write(graph, child, part, taken, inside)
        if isinstance(node, Sum) and outputs:
            last = len(ends) == len(inputs) - 1
            y = graph.binary("ADD", outputs.pop(), y, f"{inside}.sum", function if last else "")
        outputs.append(y)
        ends.append(end)
    return graph.join(outputs, -1, f"{path}.out"), joined(node, inputs, ends, path)


def _write_leaf(
    graph: TfliteGraph, leaf: Leaf, x: int, shape: Shape, path: str, function: str
) -> int:
    match leaf:
        case Conv():
            return write_conv(graph, leaf, x, shape, path, function)
        case Linear():
            return write_linear(graph, leaf, x, shape, path, function)
        case BatchNorm():
            return write_batch_norm(graph, leaf, x, shape, path, function)
        case LayerNorm():
            return write_layer_norm(graph, leaf, x, shape, path)
        case LocalResponseNorm():
            return write_response_norm(graph, leaf, x, shape, path)
        case Scale():
            return write_scale(graph, x, path)
        case Activation():
            return write_activation(graph, leaf.function, x, path)
        case SqueezeExcite():
            return write_squeeze_excite(graph, leaf, x, shape, path)
        case SplitAttention():
            return write_split_attention(graph, leaf, x, shape, path)
        case ChannelShuffle():
            return write_shuffle(graph, leaf.groups, x, path)
        case Pad():
            return graph.pad(x, leaf.pads, f"{path}.out", leaf.channels)
        case Pool():
            return write_pool(graph, leaf, x, shape, path)
        case Flatten():
            channels, height, width = shape
            if height * width > 1:  # the elements lie channels last
                x = graph.transpose(x, (0, 3, 1, 2), f"{path}.first")
            return graph.reshape(x, (graph.batch, channels * height * width), f"{path}.out")
        case GlobalPool():
            return write_global_pool(graph, x, path)
        case Dropout():
            return x
    raise TypeError(f"{type(leaf).__name__} cannot be written as TensorFlow Lite")


def _fused(node: Node, after: Node | None) -> str:
    """Return the activation function after a node if the node's last operator can do it, too.

    Concatenations cannot: runtimes ignore what is asked of them.
    """
    if not isinstance(after, Activation):
        return ""
    added = isinstance(node, Sum) and len(node.children) > 1
    able = added or isinstance(node, Conv | Linear | BatchNorm | Residual)
    return fusable(after.function) if able else ""
