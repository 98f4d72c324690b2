"""Attention to channels: squeeze-and-excitation, and split attention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nas.formats.tflite.layers import (
    conv_weights,
    convolve,
    fusable,
    write_activation,
    write_conv,
)
from nas.formats.tflite.operators import TfliteGraph
from nas.ir import Conv, Shape, SplitAttention, SqueezeExcite

_ROWS_AND_COLUMNS = (1, 2)


def write_squeeze_excite(
    graph: TfliteGraph, se: SqueezeExcite, x: int, shape: Shape, path: str
) -> int:
    """Write a squeeze-and-excitation whose normalization, if any, has been folded into `reduce`."""
    inner, squeezed = (se.reduce.in_channels, 1, 1), (se.reduce.out_channels, 1, 1)
    y = graph.mean(x, _ROWS_AND_COLUMNS, f"{path}.pool")
    fused = fusable(se.activation)
    y = write_conv(graph, se.reduce, y, inner, f"{path}.reduce", fused)
    if not fused:
        y = write_activation(graph, se.activation, y, f"{path}.act")
    if se.gate == "hard_sigmoid":
        y = _write_hard_gate(graph, se.expand, y, squeezed, path)
    else:
        y = write_conv(graph, se.expand, y, squeezed, f"{path}.expand")
        y = graph.unary("LOGISTIC", y, f"{path}.gate")
    return graph.binary("MUL", x, y, f"{path}.out")


def _write_hard_gate(graph: TfliteGraph, expand: Conv, x: int, shape: Shape, path: str) -> int:
    """Write clip(y / 6 + 1/2, 0, 1) for the output y of a convolution, as relu6(y + 3) / 6."""
    kernel, bias = conv_weights(graph, expand, f"{path}.expand")
    y = convolve(graph, expand, x, shape, (kernel, bias + 3), f"{path}.expand", "relu6")
    sixth = graph.constant(f"{path}.sixth", np.array(1 / 6))
    return graph.binary("MUL", y, sixth, f"{path}.gate")


def write_split_attention(
    graph: TfliteGraph, node: SplitAttention, x: int, shape: Shape, path: str
) -> int:
    """Write a split attention whose normalization has been folded into `reduce`."""
    channels, radix = node.channels, node.radix
    y = graph.mean(x, _ROWS_AND_COLUMNS, f"{path}.pool")
    kernel, bias = conv_weights(graph, node.reduce, f"{path}.reduce")
    # The groups are added by the convolution itself, which has the same weights for each of them.
    reduce = replace(node.reduce, in_channels=channels * radix)
    fused = fusable(node.activation)
    weights = np.tile(kernel, (1, radix, 1, 1)), bias
    y = convolve(graph, reduce, y, (channels * radix, 1, 1), weights, f"{path}.reduce", fused)
    if not fused:
        y = write_activation(graph, node.activation, y, f"{path}.act")
    y = _write_shares(graph, node, y, path)
    y = graph.binary("MUL", x, y, f"{path}.weighted")
    first, *others = graph.split(y, [channels] * radix, path)
    for i, other in enumerate(others, 1):
        first = graph.binary("ADD", first, other, f"{path}.sum{i}")
    return first


def _write_shares(graph: TfliteGraph, node: SplitAttention, x: int, path: str) -> int:
    """Write the share of every channel of every group: a softmax over the groups."""
    channels, radix = node.channels, node.radix
    squeezed = (node.expand.in_channels, 1, 1)
    kernel, bias = conv_weights(graph, node.expand, f"{path}.expand")
    if radix == 1:
        y = convolve(graph, node.expand, x, squeezed, (kernel, bias), f"{path}.expand")
        return graph.unary("LOGISTIC", y, f"{path}.gate")
    # Softmax is over the last axis, so the groups of a channel have to be next to each other.
    order = np.arange(channels * radix).reshape(radix, channels).T.ravel()
    weights = kernel[order], bias[order]
    y = convolve(graph, node.expand, x, squeezed, weights, f"{path}.expand")
    y = graph.reshape(y, (graph.batch, channels, radix), f"{path}.groups")
    y = graph.unary("SOFTMAX", y, f"{path}.softmax", "SoftmaxOptions", beta=1.0)
    y = graph.transpose(y, (0, 2, 1), f"{path}.shares")
    return graph.reshape(y, (graph.batch, 1, 1, channels * radix), f"{path}.gate")
