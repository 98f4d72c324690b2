"""Normalizations as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from nas.formats.onnx.graph import OnnxGraph
from nas.ir import BatchNorm, LayerNorm, LocalResponseNorm, Shape


def write_batch_norm(graph: OnnxGraph, norm: BatchNorm, x: str, path: str) -> str:
    """Add a batch normalization with the statistics of training."""
    parts = ("weight", "bias", "running_mean", "running_var")
    inputs = [x, *(graph.weight(f"{path}.{part}") for part in parts)]
    return graph.add("BatchNormalization", inputs, f"{path}.out", epsilon=float(norm.eps))


def write_layer_norm(graph: OnnxGraph, norm: LayerNorm, x: str, path: str) -> str:
    """Add a layer normalization over the channels of every pixel."""
    # The operator normalizes the last axes only. With two transpositions it takes half of the time
    # of the same arithmetic in single operators on the second axis, and quantizers leave its
    # intermediate results alone, among them squares that 8 bits are too few for.
    last = graph.add("Transpose", [x], f"{path}.last", perm=[0, 2, 3, 1])
    inputs = [last, graph.weight(f"{path}.weight"), graph.weight(f"{path}.bias")]
    y = graph.add("LayerNormalization", inputs, f"{path}.norm", axis=-1, epsilon=float(norm.eps))
    return graph.add("Transpose", [y], f"{path}.out", perm=[0, 3, 1, 2])


def write_response_norm(
    graph: OnnxGraph, norm: LocalResponseNorm, x: str, shape: Shape, path: str
) -> str:
    """Add a local response normalization of the tensor `x`, whose images have the given shape."""
    if norm.size % 2:
        return graph.add(
            "LRN",
            [x],
            f"{path}.out",
            size=norm.size,
            alpha=float(norm.alpha),
            beta=float(norm.beta),
            bias=float(norm.bias),
        )
    # Of an even number of channels, ONNX takes one more above than below and torch one more below;
    # ONNX Runtime takes odd numbers only. Here the channels are rows of a map, which are averaged.
    channels, height, width = shape
    rows = graph.reshape(x, (1, channels, height * width), f"{path}.rows")
    squares = graph.add("Mul", [rows, rows], f"{path}.squares")
    mean = graph.add(
        "AveragePool",
        [squares],
        f"{path}.mean",
        kernel_shape=[norm.size, 1],
        pads=[norm.size // 2, 0, (norm.size - 1) // 2, 0],
        count_include_pad=1,
    )
    alpha, beta, bias = (
        graph.constant(f"{path}.{name}", np.array(value, dtype=np.float32))
        for name, value in (("alpha", norm.alpha), ("beta", norm.beta), ("bias", norm.bias))
    )
    scaled = graph.add("Mul", [mean, alpha], f"{path}.scaled")
    base = graph.add("Add", [scaled, bias], f"{path}.base")
    power = graph.add("Pow", [base, beta], f"{path}.power")
    y = graph.add("Div", [rows, power], f"{path}.quotient")
    return graph.reshape(y, shape, f"{path}.out")
