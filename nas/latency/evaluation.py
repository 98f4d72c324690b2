"""The outputs of layer trees by their definition, computed with numpy.

It is slow, needs no package of a runtime, and computes in float64: what runtimes are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nas.ir import (
    LEAKY_SLOPE,
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
    Pads,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    conv_pads,
    pool_pads,
    slice_sizes,
)

Array = NDArray[np.float64]


def reference_outputs(tree: Node, weights: Mapping[str, np.ndarray], images: np.ndarray) -> Array:
    """Return the outputs of a network.

    Args:
        tree: The network, as trained or lowered.
        weights: Weights by name, as in the state dict of the tree's torch module.
        images: Its inputs (N, C, H, W).

    Returns:
        float64 (N, classes), or (N, C, H, W) if the tree does not end in a linear layer.
    """
    return _Evaluation(weights).node(tree, images.astype(np.float64), "")


class _Evaluation:
    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights

    def node(self, node: Node, x: Array, path: str) -> Array:
        inside = f"{path}." if path else ""
        match node:
            case Seq() | Residual():
                y = x
                for name, child in node.children:
                    y = self.node(child, y, f"{inside}{name}")
                return x + y if isinstance(node, Residual) else y
            case Sum() | Concat() | Slices() | Cascade():
                return self.branches(node, x, inside)
            case MixConv():
                convs = Slices(tuple((str(i), conv) for i, conv in enumerate(node.convs)))
                return self.branches(convs, x, inside)
        return self.leaf(node, x, path)

    def branches(self, node: Branches, x: Array, inside: str) -> Array:
        inputs = [x] * len(node.children)
        if isinstance(node, (Slices, Cascade)):
            inputs = np.split(x, np.cumsum(slice_sizes(node))[:-1], axis=1)
        outputs: list[Array] = []
        for (name, child), taken in zip(node.children, inputs, strict=True):
            before = outputs[-1] if isinstance(node, Cascade) and outputs else np.zeros(())
            outputs.append(self.node(child, taken + before, f"{inside}{name}"))
        if isinstance(node, Sum):
            return sum(outputs[1:], start=outputs[0])
        return np.concatenate(outputs, axis=1)

    def leaf(self, leaf: Leaf, x: Array, path: str) -> Array:
        match leaf:
            case Conv():
                return self.conv(leaf, x, path)
            case Pool():
                return _pooled(leaf, x)
            case BatchNorm():
                return self.norm(leaf, x, path)
            case LayerNorm():
                return self.layer_norm(leaf, x, path)
            case LocalResponseNorm():
                return _response_normalized(leaf, x)
            case Scale():
                return x * self.by_channel(path, "weight")
            case Activation():
                return ACTIVATIONS[leaf.function](x)
            case SqueezeExcite():
                gate = self.conv(leaf.reduce, _mean(x), f"{path}.reduce")
                if leaf.norm is not None:
                    gate = self.norm(leaf.norm, gate, f"{path}.norm")
                gate = self.conv(leaf.expand, ACTIVATIONS[leaf.activation](gate), f"{path}.expand")
                return x * GATES[leaf.gate](gate)
            case SplitAttention():
                return self.split_attention(leaf, x, path)
            case ChannelShuffle():
                grouped = x.reshape(len(x), leaf.groups, -1, *x.shape[2:])
                shuffled: Array = grouped.swapaxes(1, 2).reshape(x.shape)
                return shuffled
            case Dropout():
                return x
            case Pad():
                behind = ((0, 0), (0, leaf.channels), (0, 0), (0, 0))
                return np.pad(_padded(x, leaf.pads), behind)
            case Flatten():
                return x.reshape(len(x), -1)
            case GlobalPool():
                return _mean(x)
            case Linear():
                matrix = self.weights[f"{path}.weight"].astype(np.float64)
                y: Array = x.reshape(len(x), -1) @ matrix.T + self.weights[f"{path}.bias"]
                return y
        raise TypeError(f"{type(leaf).__name__} cannot be evaluated")

    def conv(self, conv: Conv, x: Array, path: str) -> Array:
        _, channels, height, width = x.shape
        x = _padded(x, conv_pads(conv, (channels, height, width)))
        step, apart = slice(None, None, conv.stride), slice(None, None, conv.dilation)
        windows = sliding_window_view(x, conv.spans, axis=(2, 3))[:, :, step, step, apart, apart]
        groups = conv.groups
        windows = windows.reshape(len(x), groups, channels // groups, *windows.shape[2:])
        kernel = self.weights[f"{path}.weight"].astype(np.float64)
        kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
        y: Array = np.einsum("ngihwrc,goirc->ngohw", windows, kernel, optimize=True)
        y = y.reshape(len(x), conv.out_channels, *y.shape[3:])
        return y + self.by_channel(path, "bias") if conv.bias else y

    def norm(self, norm: BatchNorm, x: Array, path: str) -> Array:
        weight, bias, mean, variance = (
            self.by_channel(path, part)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + norm.eps) * weight + bias

    def layer_norm(self, norm: LayerNorm, x: Array, path: str) -> Array:
        centered: Array = x - x.mean(axis=1, keepdims=True)
        variance: Array = (centered**2).mean(axis=1, keepdims=True)
        weight, bias = self.by_channel(path, "weight"), self.by_channel(path, "bias")
        return centered / np.sqrt(variance + norm.eps) * weight + bias

    def split_attention(self, node: SplitAttention, x: Array, path: str) -> Array:
        groups = x.reshape(len(x), node.radix, node.channels, *x.shape[2:])
        scores = self.conv(node.reduce, _mean(groups.sum(axis=1)), f"{path}.reduce")
        if node.norm is not None:
            scores = self.norm(node.norm, scores, f"{path}.norm")
        scores = self.conv(node.expand, ACTIVATIONS[node.activation](scores), f"{path}.expand")
        scores = scores.reshape(len(x), node.radix, node.channels, 1, 1)
        if node.radix == 1:
            shares = _sigmoid(scores)
        else:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares = powers / powers.sum(axis=1, keepdims=True)
        total: Array = (groups * shares).sum(axis=1)
        return total

    def by_channel(self, path: str, part: str) -> Array:
        """Return weights of which there is one per channel, for images: (C, 1, 1)."""
        return self.weights[f"{path}.{part}"].astype(np.float64).reshape(-1, 1, 1)


def _pooled(pool: Pool, x: Array) -> Array:
    shape = (x.shape[1], x.shape[2], x.shape[3])
    pads = pool_pads(pool, shape)
    lowest = -np.inf if pool.kind == "max" else 0.0
    taps = _windows(_padded(x, pads, lowest), pool)
    if pool.kind == "max":
        largest: Array = taps.max(axis=(-2, -1))
        return largest
    counted = np.ones((1, 1, *shape[1:]))
    if pool.count_padding:  # but not what `ceil` adds to it
        declared = pool_pads(replace(pool, ceil=False), shape)
        counted = _padded(counted, declared, 1.0)
        pads = (0, 0, pads[2] - declared[2], pads[3] - declared[3])
    counts = _windows(_padded(counted, pads), pool).sum(axis=(-2, -1))
    mean: Array = taps.sum(axis=(-2, -1)) / counts
    return mean


def _windows(x: Array, pool: Pool) -> Array:
    """Return the windows of a padded map: (N, C, H', W', rows, columns)."""
    windows = sliding_window_view(x, (pool.kernel, pool.kernel), axis=(2, 3))
    return windows[:, :, :: pool.stride, :: pool.stride]


def _response_normalized(norm: LocalResponseNorm, x: Array) -> Array:
    before = norm.size // 2
    squares = np.pad(x**2, ((0, 0), (before, norm.size - 1 - before), (0, 0), (0, 0)))
    sums = sliding_window_view(squares, norm.size, axis=1).sum(axis=-1)
    normalized: Array = x / (norm.bias + norm.alpha / norm.size * sums) ** norm.beta
    return normalized


def _mean(x: Array) -> Array:
    mean: Array = x.mean(axis=(2, 3), keepdims=True)
    return mean


def _padded(x: Array, pads: Pads, value: float = 0.0) -> Array:
    top, left, bottom, right = pads
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded: Array = np.pad(x, sides, constant_values=value)
    return padded


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x / 6 + 0.5, 0, 1)


def _gelu(x: Array) -> Array:
    erf: Array = np.vectorize(math.erf)(x / math.sqrt(2))
    return 0.5 * x * (1 + erf)


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "swish": lambda x: x * _sigmoid(x),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "gelu": _gelu,
    "leaky_relu": lambda x: np.where(x < 0, LEAKY_SLOPE * x, x),
}
"""The activation functions by name."""
GATES: Mapping[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
}
"""The functions of the gates of squeeze-and-excitation by name."""
