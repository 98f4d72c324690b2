"""Realistic weights for networks that are only timed.

With the weights of a newly initialized network, activations may grow or vanish from layer to layer,
and arithmetic on denormal numbers is several times slower than that of a trained network. Here
every convolution is scaled so that its outputs have unit variance (He et al. 2015, section 2.2),
which requires tracking the second moment of its inputs through the tree.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Slices,
    SqueezeExcite,
    Sum,
)

# Upper bounds of E[f(x)^2] / E[x^2] for normally distributed x of any variance. If a value is too
# large, activations shrink slightly, down to a level that the biases maintain; if it is too small,
# they grow from layer to layer.
_SECOND_MOMENTS = {
    "relu": 0.5,
    "relu6": 0.5,
    "swish": 0.5,
    "hard_swish": 0.5,
    "mish": 0.5,
    "gelu": 0.5,
    "identity": 1.0,
}
_GATE = 0.3  # second moment of a sigmoid near its midpoint
_BIAS = 0.3
_POOL = 1 << 20  # random numbers in the pool


def realistic_weights(tree: Node, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw weights that keep the scale of activations, with plausible normalization statistics.

    Args:
        tree: The network.
        seed: Random seed. The pool of random numbers is drawn once per process and seed.

    Returns:
        float32 arrays by name, as in the state dict of the tree's torch module.
    """
    drawing = _Drawing(seed)
    drawing.node(tree, 1.0, "")
    return drawing.out


@lru_cache(4)
def _normals(seed: int) -> np.ndarray:
    pool = np.random.default_rng(seed).standard_normal(_POOL, dtype=np.float32)
    pool[np.abs(pool) < 1e-6] = 1e-6  # avoid zeros
    pool.setflags(write=False)
    return pool


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.pool = _normals(seed)
        self.start = 0
        self.out: dict[str, np.ndarray] = {}

    def normals(self, *shape: int) -> np.ndarray:
        """Return the next numbers of the pool, starting over at its end."""
        size = math.prod(shape)
        end = self.start + size
        numbers = np.take(self.pool, range(self.start, end), mode="wrap")
        self.start = end % _POOL
        return numbers.reshape(shape)

    def node(self, node: Node, moment: float, path: str) -> float:
        """Draw the weights of a tree whose inputs have the second moment `moment`.

        Returns:
            The second moment of the outputs.
        """
        inside = f"{path}." if path else ""
        match node:
            case Seq() | Residual():
                inner = moment
                for name, child in node.children:
                    inner = self.node(child, inner, f"{inside}{name}")
                return inner + moment if isinstance(node, Residual) else inner
            case Sum() | Slices():
                moments = [self.node(child, moment, f"{inside}{n}") for n, child in node.children]
                return sum(moments) if isinstance(node, Sum) else max(moments)
            case MixConv():
                for i, conv in enumerate(node.convs):
                    self.conv(conv, moment, f"{inside}{i}")
                return 1.0
            case Conv():
                self.conv(node, moment, path)
                return 1.0
            case BatchNorm():
                return self.norm(node, path)
            case Activation():
                return moment * _SECOND_MOMENTS[node.function]
            case SqueezeExcite():
                # The second moment of the pooled map is smaller; by how much does not matter here.
                self.conv(node.reduce, moment, f"{inside}reduce")
                self.conv(node.expand, _SECOND_MOMENTS[node.activation], f"{inside}expand", 0.5)
                return moment * _GATE
            case Linear():
                weight = self.normals(node.out_features, node.in_features)
                self.out[f"{path}.weight"] = weight / np.float32(math.sqrt(node.in_features))
                self.out[f"{path}.bias"] = 0.1 * self.normals(node.out_features)
            case GlobalPool() | Pad():
                pass
        return moment

    def conv(self, conv: Conv, moment: float, path: str, size: float = 1.0) -> None:
        """Draw the weights of a convolution whose outputs have the standard deviation `size`."""
        fan_in = conv.taps * conv.in_channels // conv.groups
        scale = np.float32(size / math.sqrt(fan_in * max(moment, 1e-6)))
        shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.window)
        self.out[f"{path}.weight"] = scale * self.normals(*shape)
        if conv.bias:
            self.out[f"{path}.bias"] = 0.1 * self.normals(conv.out_channels)

    def norm(self, norm: BatchNorm, path: str) -> float:
        """Draw a batch normalization with scales and variances around 1."""
        channels = norm.channels
        self.out[f"{path}.weight"] = 1 + 0.1 * np.tanh(self.normals(channels))
        self.out[f"{path}.bias"] = _BIAS * self.normals(channels)
        self.out[f"{path}.running_mean"] = 0.1 * self.normals(channels)
        self.out[f"{path}.running_var"] = 1 + 0.1 * np.tanh(self.normals(channels))
        return 1.0
