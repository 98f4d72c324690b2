"""Pooling.

The operators pad by TensorFlow's rule or not at all, and their averages never count padding. Other
padding is written as operators of its own, and averages over other numbers of pixels are corrected.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nas.formats.tflite.layers import tensorflow_pads
from nas.formats.tflite.operators import TfliteGraph
from nas.ir import Pads, Pool, Shape, out_shape, pool_pads


def write_pool(graph: TfliteGraph, pool: Pool, x: int, shape: Shape, path: str) -> int:
    """Write a pooling."""
    pads = _reached(pool, shape)
    same = pads == tensorflow_pads(shape, (pool.kernel, pool.kernel), pool.stride)
    if pool.kind == "max":
        if not same:
            x = _extend(graph, x, pads, path)
        return _write_windows(graph, "MAX_POOL_2D", pool, x, shape, f"{path}.out", same)
    counts = _counts(pool, shape)
    if same and np.array_equal(counts, _counts(replace(pool, count_padding=False), shape)):
        return _write_windows(graph, "AVERAGE_POOL_2D", pool, x, shape, f"{path}.out", same)
    if any(pads):
        x = graph.pad(x, pads, f"{path}.pad")
    corrections = pool.kernel**2 / counts
    corrected = bool((corrections != 1).any())
    name = f"{path}.average" if corrected else f"{path}.out"
    y = _write_windows(graph, "AVERAGE_POOL_2D", pool, x, shape, name)
    if not corrected:
        return y
    factors = graph.constant(f"{path}.factors", corrections[None, :, :, None])
    return graph.binary("MUL", y, factors, f"{path}.out")


def write_global_pool(graph: TfliteGraph, x: int, path: str) -> int:
    """Write an average over height and width."""
    return graph.mean(x, (1, 2), f"{path}.out")


def _reached(pool: Pool, shape: Shape) -> Pads:
    """Return the padding without what no window reaches at the bottom and on the right."""
    top, left, _, _ = pool_pads(pool, shape)
    bottom, right = (
        max((count - 1) * pool.stride + pool.kernel - before - size, 0)
        for count, before, size in zip(
            out_shape(pool, shape)[1:], (top, left), shape[1:], strict=True
        )
    )
    return top, left, bottom, right


def _counts(pool: Pool, shape: Shape) -> np.ndarray:
    """Return the number of pixels that every average is over, (H', W')."""
    before = pool_pads(pool, shape)[:2]
    counted = pool_pads(replace(pool, ceil=False), shape) if pool.count_padding else (0,) * 4
    sides = []
    for axis, (size, count) in enumerate(zip(shape[1:], out_shape(pool, shape)[1:], strict=True)):
        first = np.arange(count) * pool.stride - before[axis]
        last = np.minimum(first + pool.kernel, size + counted[axis + 2])
        sides.append(last - np.maximum(first, -counted[axis]))
    return np.outer(*sides)


def _extend(graph: TfliteGraph, x: int, pads: Pads, path: str) -> int:
    """Pad feature maps with copies of their outermost rows and columns.

    A copy never changes a maximum, since a window that meets it meets the original as well. With
    the lowest number there is instead, 8 bits could not tell the others apart.
    """
    top, left, bottom, right = pads
    for axis, side, before, after in ((1, "row", top, bottom), (2, "column", left, right)):
        size = graph.shape(x)[axis]
        parts = [x]
        if before:
            parts = [graph.cut(x, axis, 0, 1, f"{path}.first_{side}")] * before + parts
        if after:
            parts += [graph.cut(x, axis, size - 1, 1, f"{path}.last_{side}")] * after
        x = graph.join(parts, axis, f"{path}.{side}s")
    return x


def _write_windows(
    graph: TfliteGraph, op: str, pool: Pool, x: int, shape: Shape, name: str, same: bool = False
) -> int:
    return graph.add(
        op,
        [x],
        [graph.maps(name, out_shape(pool, shape))],
        "Pool2DOptions",
        padding=graph.schema.Padding.SAME if same else graph.schema.Padding.VALID,
        strideW=pool.stride,
        strideH=pool.stride,
        filterWidth=pool.kernel,
        filterHeight=pool.kernel,
    )
