"""Squeeze-and-excitation and split attention as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from nas.formats.onnx.graph import OnnxGraph
from nas.formats.onnx.layers import write_activation, write_pointwise
from nas.formats.onnx.normalization import write_batch_norm
from nas.ir import Shape, SplitAttention, SqueezeExcite


def write_squeeze_excite(
    graph: OnnxGraph, se: SqueezeExcite, x: str, shape: Shape, path: str
) -> str:
    """Add a gate on every channel of the tensor `x`, whose images have the given shape."""
    y = graph.add("GlobalAveragePool", [x], f"{path}.pool")
    y = write_pointwise(graph, se.reduce, y, f"{path}.reduce")
    if se.norm is not None:
        y = write_batch_norm(graph, se.norm, y, f"{path}.norm")
    y = write_activation(graph, se.activation, y, f"{path}.act")
    y = write_pointwise(graph, se.expand, y, f"{path}.expand")
    if se.gate == "hard_sigmoid":
        y = graph.add("HardSigmoid", [y], f"{path}.gate", alpha=1 / 6, beta=0.5)
    else:
        y = graph.add("Sigmoid", [y], f"{path}.gate")
    if se.wide:
        y = _widen(graph, y, shape, path)
    return graph.add("Mul", [x, y], f"{path}.out")


def _widen(graph: OnnxGraph, x: str, shape: Shape, path: str) -> str:
    """Expand one value per channel to a map, by the only operator with a blocked layout."""
    scales = graph.constant(f"{path}.scales", np.array([1, 1, *shape[1:]], dtype=np.float32))
    wide = graph.add(
        "Resize",
        [x, "", scales],
        f"{path}.wide",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    # Shape inference loses the batch size here, and without it the layout is not kept.
    graph.know(wide, shape)
    return wide


def write_split_attention(graph: OnnxGraph, node: SplitAttention, x: str, path: str) -> str:
    """Add the attention over groups of the channels of the tensor `x`, and their weighted sum."""
    radix, channels = node.radix, node.channels
    y = graph.add("GlobalAveragePool", [x], f"{path}.pool")
    if radix > 1:  # the mean of the sum of the groups is the sum of their means, which are small
        groups = graph.reshape(y, (radix, channels, 1, 1), f"{path}.pooled")
        axis = graph.constant(f"{path}.axis", np.array([1], dtype=np.int64))
        y = graph.add("ReduceSum", [groups, axis], f"{path}.squeezed", keepdims=0)
    y = write_pointwise(graph, node.reduce, y, f"{path}.reduce")
    if node.norm is not None:
        y = write_batch_norm(graph, node.norm, y, f"{path}.norm")
    y = write_activation(graph, node.activation, y, f"{path}.act")
    y = write_pointwise(graph, node.expand, y, f"{path}.expand")
    if radix == 1:
        gate = graph.add("Sigmoid", [y], f"{path}.gate")
        return graph.add("Mul", [x, gate], f"{path}.out")
    y = graph.reshape(y, (radix, channels, 1, 1), f"{path}.scores")
    y = graph.add("Softmax", [y], f"{path}.shares", axis=1)
    gate = graph.reshape(y, (radix * channels, 1, 1), f"{path}.gate")
    weighted = graph.add("Mul", [x, gate], f"{path}.weighted")
    total, *others = graph.split(weighted, [channels] * radix, path)
    for i, part in enumerate(others, start=1):
        total = graph.add("Add", [total, part], f"{path}.sum{i}")
    return total
