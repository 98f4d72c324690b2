"""Pooling as nodes of ONNX.

The rules of rounding up, and of what an average counts then, differ between versions of ONNX and of
its runtimes. Shapes are known here, so that padding is always written out in pixels. Windows of
padding alone have no average and no maximum, and runtimes refuse them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nas.formats.onnx.graph import OnnxGraph
from nas.ir import Pads, Pool, Shape, out_shape, pool_pads


def write_pool(graph: OnnxGraph, pool: Pool, x: str, shape: Shape, path: str) -> str:
    """Add a pooling of the tensor `x`, whose images have the given shape."""
    pads = _reached(pool, shape)
    window: dict[str, Any] = {
        "kernel_shape": [pool.kernel] * 2,
        "strides": [pool.stride] * 2,
        "pads": list(pads),
    }
    if pool.kind == "max":
        return graph.add("MaxPool", [x], f"{path}.out", **window)
    window["count_include_pad"] = int(pool.count_padding and any(pads))
    shares = _counted(pool, shape) if pool.count_padding else np.ones(())
    if (shares == 1).all():
        return graph.add("AveragePool", [x], f"{path}.out", **window)
    mean = graph.add("AveragePool", [x], f"{path}.mean", **window)
    factors = graph.constant(f"{path}.factors", (1 / shares).astype(np.float32)[None, None])
    return graph.add("Mul", [mean, factors], f"{path}.out")


def _reached(pool: Pool, shape: Shape) -> Pads:
    """Return the padding without the pixels at the bottom and right that no window reaches."""
    top, left, _, _ = pool_pads(pool, shape)
    _, rows, columns = out_shape(pool, shape)
    bottom, right = (
        max(0, (outputs - 1) * pool.stride + pool.kernel - before - size)
        for outputs, before, size in ((rows, top, shape[1]), (columns, left, shape[2]))
    )
    return top, left, bottom, right


def _counted(pool: Pool, shape: Shape) -> np.ndarray:
    """Return the share of each window in the image and its declared padding: (H', W')."""
    before = pool_pads(pool, shape)[:2]
    declared = pool_pads(dataclasses.replace(pool, ceil=False), shape)[2:]
    sides = []
    for start, after, size, outputs in zip(
        before, declared, shape[1:], out_shape(pool, shape)[1:], strict=True
    ):
        begins = np.arange(outputs) * pool.stride - start
        sides.append((np.minimum(begins + pool.kernel, size + after) - begins) / pool.kernel)
    return np.outer(*sides)
