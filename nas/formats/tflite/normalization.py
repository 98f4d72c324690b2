"""Normalization, and factors of channels."""

from __future__ import annotations

import numpy as np

from nas.formats.tflite.layers import convolve
from nas.formats.tflite.operators import TfliteGraph
from nas.ir import BatchNorm, Conv, LayerNorm, LocalResponseNorm, Shape
from nas.lowering.folding import affine

EXACT = "exact"
"""Part of the names of tensors that 8 bits are too few for, such as variances and their roots."""


def write_batch_norm(
    graph: TfliteGraph, norm: BatchNorm, x: int, shape: Shape, path: str, function: str = ""
) -> int:
    """Write a batch normalization, with an activation function of `FUSED` if one is given."""
    return _write_affine(graph, x, shape, affine([(norm, path)], graph.weights), path, function)


def write_scale(graph: TfliteGraph, x: int, path: str) -> int:
    """Write a factor for every channel."""
    factors = graph.constant(f"{path}.weight", graph.weights[f"{path}.weight"])
    return graph.binary("MUL", x, factors, f"{path}.out")


def write_layer_norm(graph: TfliteGraph, norm: LayerNorm, x: int, shape: Shape, path: str) -> int:
    """Write a normalization over the channels of every pixel."""
    inside = f"{path}.{EXACT}"
    centered = graph.binary("SUB", x, graph.mean(x, [3], f"{inside}.mean"), f"{inside}.centered")
    squares = graph.binary("MUL", centered, centered, f"{inside}.squares")
    variance = graph.mean(squares, [3], f"{inside}.variance")
    least = graph.constant(f"{inside}.eps", np.array(norm.eps))
    variance = graph.binary("ADD", variance, least, f"{inside}.sum")
    factor = graph.unary("RSQRT", variance, f"{inside}.factor")
    y = graph.binary("MUL", centered, factor, f"{inside}.normal")
    scale, shift = (graph.weights[f"{path}.{name}"] for name in ("weight", "bias"))
    return _write_affine(graph, y, shape, (scale, shift), inside)


def write_response_norm(
    graph: TfliteGraph, norm: LocalResponseNorm, x: int, shape: Shape, path: str
) -> int:
    """Write a normalization over adjacent channels.

    The sums of squares are a 1x1 convolution. TensorFlow Lite's own operator is several times
    slower, as XNNPACK does not have it, and knows odd sizes only.
    """
    inside = f"{path}.{EXACT}"
    squares = graph.binary("MUL", x, x, f"{inside}.squares")
    channels = np.arange(shape[0])
    offsets = channels[None] - channels[:, None]  # of the input channel to the output channel
    adjacent = (offsets >= -(norm.size // 2)) & (offsets <= (norm.size - 1) // 2)
    kernel = adjacent[:, :, None, None] * (norm.alpha / norm.size)
    bias = np.full(shape[0], norm.bias)
    conv = Conv(shape[0], shape[0], bias=True)
    y = convolve(graph, conv, squares, shape, (kernel, bias), f"{inside}.sum")
    # y ** -beta, as exp(-beta log(y))
    exponent = graph.constant(f"{inside}.exponent", np.array(-norm.beta))
    y = graph.unary("LOG", y, f"{inside}.log")
    y = graph.binary("MUL", y, exponent, f"{inside}.power")
    y = graph.unary("EXP", y, f"{inside}.factor")
    return graph.binary("MUL", x, y, f"{inside}.out")


def _write_affine(
    graph: TfliteGraph,
    x: int,
    shape: Shape,
    scale_shift: tuple[np.ndarray, np.ndarray],
    path: str,
    function: str = "",
) -> int:
    """Write scale * x + shift with numbers for every channel.

    It is a depthwise 1x1 convolution, which takes less time than a product and a sum.
    """
    scale, shift = scale_shift
    channels = shape[0]
    conv = Conv(channels, channels, groups=channels, bias=True)
    kernel = scale[:, None, None, None]
    return convolve(graph, conv, x, shape, (kernel, shift), path, function)
