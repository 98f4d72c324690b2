"""The outputs of layer trees by their definition, computed with numpy.

It is slow, needs no package of a runtime, and computes in float64: what runtimes are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Pads,
    Residual,
    Seq,
    Slices,
    SqueezeExcite,
    Sum,
    conv_pads,
    input_channels,
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
            case Sum():
                return sum(
                    (self.node(child, x, f"{inside}{name}") for name, child in node.children),
                    start=np.zeros(()),
                )
            case Slices():
                return self.slices(node.children, x, inside)
            case MixConv():
                return self.slices([(str(i), c) for i, c in enumerate(node.convs)], x, inside)
        return self.leaf(node, x, path)

    def slices(self, branches: Sequence[tuple[str, Node]], x: Array, inside: str) -> Array:
        ends = np.cumsum([input_channels(child) for _, child in branches])
        parts = zip(branches, np.split(x, ends[:-1], axis=1), strict=True)
        return np.concatenate(
            [self.node(child, part, f"{inside}{name}") for (name, child), part in parts], axis=1
        )

    def leaf(self, leaf: Node, x: Array, path: str) -> Array:
        match leaf:
            case Conv():
                return self.conv(leaf, x, path)
            case BatchNorm():
                return self.norm(leaf, x, path)
            case Activation():
                return ACTIVATIONS[leaf.function](x)
            case SqueezeExcite():
                gate = self.conv(leaf.reduce, _mean(x), f"{path}.reduce")
                gate = self.conv(leaf.expand, ACTIVATIONS[leaf.activation](gate), f"{path}.expand")
                return x * _sigmoid(gate)
            case Pad():
                return _padded(x, leaf.pads)
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
        spans = [(taps - 1) * conv.dilation + 1 for taps in conv.window]
        step, apart = slice(None, None, conv.stride), slice(None, None, conv.dilation)
        windows = sliding_window_view(x, spans, axis=(2, 3))[:, :, step, step, apart, apart]
        groups = conv.groups
        windows = windows.reshape(len(x), groups, channels // groups, *windows.shape[2:])
        kernel = self.weights[f"{path}.weight"].astype(np.float64)
        kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
        y: Array = np.einsum("ngihwrc,goirc->ngohw", windows, kernel, optimize=True)
        y = y.reshape(len(x), conv.out_channels, *y.shape[3:])
        return y + _by_channel(self.weights[f"{path}.bias"]) if conv.bias else y

    def norm(self, norm: BatchNorm, x: Array, path: str) -> Array:
        weight, bias, mean, variance = (
            _by_channel(self.weights[f"{path}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + norm.eps) * weight + bias


def _by_channel(values: Array) -> Array:
    return values.astype(np.float64).reshape(-1, 1, 1)


def _mean(x: Array) -> Array:
    mean: Array = x.mean(axis=(2, 3), keepdims=True)
    return mean


def _padded(x: Array, pads: Pads) -> Array:
    top, left, bottom, right = pads
    padded: Array = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    return padded


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


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
}
"""The activation functions by name."""
