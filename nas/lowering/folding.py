"""Folding the layers after a convolution that scale and shift its channels into its weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from nas.ir import (
    BatchNorm,
    Cascade,
    Concat,
    Conv,
    Dropout,
    MixConv,
    Node,
    Residual,
    Scale,
    Seq,
    Slices,
    Sum,
    child_path,
)

Folded = Sequence[tuple[BatchNorm | Scale, str]]
"""Layers to fold into a convolution, in order, with their paths."""
_Found = defaultdict[str, list[tuple[BatchNorm | Scale, str]]]


def foldable(tree: Node) -> Mapping[str, Folded]:
    """Return the layers that can be folded into convolutions, by the path of the convolution.

    They follow it directly, apart from dropout, and nothing else takes its output: not where
    branches begin or end, or where a residual block adds its input.
    """
    found: _Found = defaultdict(list)
    _search(tree, "", None, found)
    return found


def _search(node: Node, path: str, before: str | None, found: _Found) -> str | None:
    """Add the layers of a tree that can be folded.

    Args:
        node: The tree.
        path: Its path.
        before: Path of the convolution whose output the tree alone takes; None for none.
        found: Where they are added, by the path of the convolution.

    Returns:
        Path of the convolution whose output is that of the tree once they are folded, or None.
    """
    match node:
        case Conv() | MixConv():
            return path
        case BatchNorm() | Scale() if before is not None:
            found[before].append((node, path))
            return before
        case Dropout():
            return before
        case Seq():
            last = before
            for name, child in node.children:
                last = _search(child, child_path(path, name), last, found)
            return last
        case Residual():
            last = None  # what enters is added in the end, too
            for name, child in node.children:
                last = _search(child, child_path(path, name), last, found)
        case Sum() | Concat() | Slices() | Cascade():
            for name, child in node.children:
                _search(child, child_path(path, name), None, found)
    return None


def affine(layers: Folded, weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what layers after each other do: scale and shift, y = scale * x + shift, in float64.

    Args:
        layers: The layers, at least one.
        weights: Weights by name.
    """
    (first, _), *_ = layers
    scale, shift = np.ones(first.channels), np.zeros(first.channels)
    for layer, path in layers:
        factor = weights[f"{path}.weight"].astype(np.float64)
        offset = np.zeros_like(factor)
        if isinstance(layer, BatchNorm):
            mean, variance, beta = (
                weights[f"{path}.{part}"].astype(np.float64)
                for part in ("running_mean", "running_var", "bias")
            )
            factor = factor / np.sqrt(variance + layer.eps)
            offset = beta - mean * factor
        scale, shift = factor * scale, factor * shift + offset
    return scale, shift
