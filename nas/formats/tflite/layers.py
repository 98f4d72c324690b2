"""Convolutions, linear layers, activation functions and shuffled channels."""

from __future__ import annotations

import numpy as np

from nas.formats.tflite.operators import FUSED, TfliteGraph
from nas.ir import LEAKY_SLOPE, Conv, Linear, Pads, Shape, conv_pads, out_shape, same_pads

_SIMPLE = {"relu": "RELU", "relu6": "RELU6", "hard_swish": "HARD_SWISH"}


def tensorflow_pads(shape: Shape, extents: tuple[int, int], stride: int) -> Pads:
    """Return the padding by TensorFlow's rule, which an operator can do itself.

    Args:
        shape: Shape of the input (C, H, W).
        extents: Rows and columns of pixels that the kernel or window spans.
        stride: Step between output positions, in pixels.
    """
    rows, columns = (
        same_pads(size, extent, stride) for size, extent in zip(shape[1:], extents, strict=True)
    )
    return rows[0], columns[0], rows[1], columns[1]


def conv_weights(graph: TfliteGraph, conv: Conv, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel of a convolution, (C', C / groups, k, k), and its bias or zeros, (C',)."""
    zeros = np.zeros(conv.out_channels, dtype=np.float32)
    return graph.weights[f"{path}.weight"], graph.weights[f"{path}.bias"] if conv.bias else zeros


def write_conv(
    graph: TfliteGraph, conv: Conv, x: int, shape: Shape, path: str, function: str = ""
) -> int:
    """Write a convolution, with an activation function of `FUSED` if one is given."""
    return convolve(graph, conv, x, shape, conv_weights(graph, conv, path), path, function)


def convolve(
    graph: TfliteGraph,
    conv: Conv,
    x: int,
    shape: Shape,
    weights: tuple[np.ndarray, np.ndarray],
    path: str,
    function: str = "",
) -> int:
    """Write a convolution with given weights, as `conv_weights` returns them."""
    kernel, bias = weights
    pads = conv_pads(conv, shape)
    rows, columns = conv.spans
    same = pads == tensorflow_pads(shape, (rows, columns), conv.stride)
    if not same and any(pads):
        x = graph.pad(x, pads, f"{path}.pad")
    depthwise = conv.groups == conv.in_channels and conv.groups > 1
    kernel = kernel.transpose(0, 2, 3, 1)
    if depthwise:  # (1, k, k, out)
        kernel = kernel.transpose(3, 1, 2, 0)
    inputs = [x, graph.constant(f"{path}.weight", kernel), graph.constant(f"{path}.bias", bias)]
    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    multiplier = {"depthMultiplier": conv.out_channels // conv.in_channels} if depthwise else {}
    return graph.add(
        op,
        inputs,
        [graph.maps(f"{path}.out", out_shape(conv, shape))],
        "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        padding=graph.schema.Padding.SAME if same else graph.schema.Padding.VALID,
        strideW=conv.stride,
        strideH=conv.stride,
        dilationWFactor=conv.dilation,
        dilationHFactor=conv.dilation,
        **graph.fused(function),
        **multiplier,
    )


def write_linear(
    graph: TfliteGraph, linear: Linear, x: int, shape: Shape, path: str, function: str = ""
) -> int:
    """Write a linear layer, with an activation function of `FUSED` if one is given."""
    # The operator flattens channels last, the layer channels first.
    maps = graph.weights[f"{path}.weight"].reshape(linear.out_features, *shape)
    kernel = maps.transpose(0, 2, 3, 1).reshape(linear.out_features, linear.in_features)
    bias = graph.constant(f"{path}.bias", graph.weights[f"{path}.bias"])
    inputs = [x, graph.constant(f"{path}.weight", kernel), bias]
    y = graph.tensor(f"{path}.out", (graph.batch, linear.out_features))
    options = graph.fused(function)
    return graph.add("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions", **options)


def write_activation(graph: TfliteGraph, function: str, x: int, path: str) -> int:
    """Write an activation function."""
    out = f"{path}.out"
    match function:
        case "identity":
            return x
        case "swish":
            return graph.binary("MUL", x, graph.unary("LOGISTIC", x, f"{path}.gate"), out)
        case "gelu":
            return graph.unary("GELU", x, out, "GeluOptions", approximate=False)
        case "leaky_relu":
            return graph.unary("LEAKY_RELU", x, out, "LeakyReluOptions", alpha=LEAKY_SLOPE)
        case "mish":
            return _write_mish(graph, x, path)
    return graph.unary(_SIMPLE[function], x, out)


def fusable(function: str) -> str:
    """Return an activation function if an operator before it can do it, too; else an empty text."""
    return function if function in FUSED else ""


def _write_mish(graph: TfliteGraph, x: int, path: str) -> int:
    """Write x tanh(softplus(x)), with softplus(x) = relu(x) + log(1 + exp(-|x|))."""
    one = graph.constant(f"{path}.one", np.array(1.0))
    y = graph.unary("ABS", x, f"{path}.abs")
    y = graph.unary("NEG", y, f"{path}.negative")
    y = graph.unary("EXP", y, f"{path}.exp")
    y = graph.binary("ADD", y, one, f"{path}.sum")
    y = graph.unary("LOG", y, f"{path}.log")
    positive = graph.unary("RELU", x, f"{path}.positive")
    y = graph.binary("ADD", positive, y, f"{path}.softplus")
    y = graph.unary("TANH", y, f"{path}.tanh")
    return graph.binary("MUL", x, y, f"{path}.out")


def write_shuffle(graph: TfliteGraph, groups: int, x: int, path: str) -> int:
    """Write a shuffle of channels, as a transposition of every pixel's (groups, channels)."""
    shape = graph.shape(x)
    *outer, channels = shape
    y = graph.reshape(x, (int(np.prod(outer)), groups, channels // groups), f"{path}.groups")
    y = graph.transpose(y, (0, 2, 1), f"{path}.shuffled")
    return graph.reshape(y, shape, f"{path}.out")
