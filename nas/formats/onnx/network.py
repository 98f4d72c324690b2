"""Whole layer trees as ONNX models: the containers, and which writer takes which leaf."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from nas.formats.onnx.attention import write_split_attention, write_squeeze_excite
from nas.formats.onnx.graph import OnnxGraph
from nas.formats.onnx.layers import write_activation, write_conv, write_linear, write_pad
from nas.formats.onnx.normalization import (
    write_batch_norm,
    write_layer_norm,
    write_response_norm,
)
from nas.formats.onnx.pooling import write_pool
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
)


def to_onnx(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    name: str = "",
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return a layer tree with its weights as an ONNX model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W); height and width are fixed, the batch size is dynamic.
        weights: Weights by name, as in the state dict of the tree's torch module.
        name: Name of the graph.
        properties: Metadata of the model, texts by name.

    Returns:
        A checked model: ``images`` (batch, C, H, W) float32 -> ``logits`` (batch, classes), or
        (batch, C', H', W') if the tree does not end in a linear layer.
    """
    graph = OnnxGraph(weights)
    y, end = _write(graph, tree, "images", shape, "")
    logits = graph.add("Identity", [y], "logits")
    return graph.model(shape, end, logits, name, properties or {})


def _write(graph: OnnxGraph, node: Node, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
    """Add the nodes of a tree with the input tensor `x`; return its output tensor and shape."""
    match node:
        case Seq() | Residual():
            y, inner = x, shape
            for name, child in node.children:
                y, inner = _write(graph, child, y, inner, child_path(path, name))
            if isinstance(node, Residual):
                y = graph.add("Add", [x, y], f"{path}.add")
            return y, inner
        case Sum() | Concat() | Slices() | Cascade():
            return _write_branches(graph, node, x, shape, path)
        case MixConv():
            convs = Slices(tuple((str(i), conv) for i, conv in enumerate(node.convs)))
            return _write_branches(graph, convs, x, shape, path)
    return _write_leaf(graph, node, x, shape, path), out_shape(node, shape)


def _write_branches(
    graph: OnnxGraph, node: Branches, x: str, shape: Shape, path: str
) -> tuple[str, Shape]:
    shapes = branch_inputs(node, shape)
    if isinstance(node, (Slices, Cascade)):
        inputs = graph.split(x, [channels for channels, _, _ in shapes], path)
    else:
        inputs = [x] * len(shapes)
    outputs: list[str] = []
    ends: list[Shape] = []
    for (name, child), taken, size in zip(node.children, inputs, shapes, strict=True):
        inside = child_path(path, name)
        if isinstance(node, Cascade) and outputs:
            taken = graph.add("Add", [taken, outputs[-1]], f"{inside}.in")
        y, end = _write(graph, child, taken, size, inside)
        outputs.append(y)
        ends.append(end)
    end = joined(node, shapes, ends, path)
    if len(outputs) == 1:
        return outputs[0], end
    if not isinstance(node, Sum):
        return graph.add("Concat", outputs, f"{path}.out", axis=1), end
    total = outputs[0]
    for (name, _), y in zip(node.children[1:], outputs[1:], strict=True):
        total = graph.add("Add", [total, y], f"{child_path(path, name)}.sum")
    return total, end


def _write_leaf(graph: OnnxGraph, leaf: Leaf, x: str, shape: Shape, path: str) -> str:
    """Add the nodes of a leaf with the input tensor `x`; return its output tensor."""
    match leaf:
        case Conv():
            return write_conv(graph, leaf, x, shape, path)
        case Pool():
            return write_pool(graph, leaf, x, shape, path)
        case BatchNorm():
            return write_batch_norm(graph, leaf, x, path)
        case LayerNorm():
            return write_layer_norm(graph, leaf, x, path)
        case LocalResponseNorm():
            return write_response_norm(graph, leaf, x, shape, path)
        case Scale():
            factors = graph.weight(f"{path}.weight", (leaf.channels, 1, 1))
            return graph.add("Mul", [x, factors], f"{path}.out")
        case Activation():
            return write_activation(graph, leaf.function, x, path)
        case SqueezeExcite():
            return write_squeeze_excite(graph, leaf, x, shape, path)
        case SplitAttention():
            return write_split_attention(graph, leaf, x, path)
        case ChannelShuffle():
            return _write_shuffle(graph, leaf, x, shape, path)
        case Dropout():
            return x
        case Pad():
            return write_pad(graph, leaf, x, shape, path)
        case Flatten():
            return graph.add("Flatten", [x], f"{path}.out", axis=1)
        case GlobalPool():
            return graph.add("GlobalAveragePool", [x], f"{path}.out")
        case Linear():
            return write_linear(graph, x, path)
    raise TypeError(f"{type(leaf).__name__} cannot be written as ONNX")


def _write_shuffle(
    graph: OnnxGraph, shuffle: ChannelShuffle, x: str, shape: Shape, path: str
) -> str:
    channels, height, width = shape
    sizes = (shuffle.groups, channels // shuffle.groups, height * width)
    grouped = graph.reshape(x, sizes, f"{path}.grouped")
    swapped = graph.add("Transpose", [grouped], f"{path}.swapped", perm=[0, 2, 1, 3])
    return graph.reshape(swapped, shape, f"{path}.out")
