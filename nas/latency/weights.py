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
    Branches,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Node,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
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
    "leaky_relu": 0.505,
    "identity": 1.0,
}
_GATE = 0.3  # second moment of a sigmoid, hard or not, near its midpoint
_SCALE = 0.5  # size of the factors of `Scale`, which training raises from next to nothing
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
        if end <= _POOL:
            numbers = self.pool[self.start : end]
        else:
            numbers = np.resize(np.roll(self.pool, -self.start), size)
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
                inner = self.sequence(node, moment, inside)
                return inner + moment if isinstance(node, Residual) else inner
            case Sum() | Concat() | Slices() | Cascade():
                return self.branches(node, moment, inside)
            case MixConv():
                for i, conv in enumerate(node.convs):
                    self.conv(conv, moment, f"{inside}{i}")
                return 1.0
            case Conv():
                self.conv(node, moment, path)
                return 1.0
            case BatchNorm():
                return self.norm(node, moment, path)
            case LayerNorm():
                self.affine(node.channels, path)
                return 1.0
            case Scale():
                factors = 1 + 0.1 * np.tanh(self.normals(node.channels))
                self.out[f"{path}.weight"] = np.float32(_SCALE) * factors
                return moment * _SCALE**2
            case LocalResponseNorm():
                return moment / math.pow(node.bias + node.alpha * moment, 2 * node.beta)
            case Pool():
                # About the second moment of the largest of so many normally distributed numbers.
                return moment * (1 + 2 * math.log(node.kernel)) if node.kind == "max" else moment
            case Activation():
                return moment * _SECOND_MOMENTS[node.function]
            case SqueezeExcite():
                # The second moment of the pooled map is smaller; by how much does not matter here.
                self.conv(node.reduce, moment, f"{inside}reduce")
                if node.norm is not None:
                    self.norm(node.norm, 1.0, f"{inside}norm")
                self.conv(node.expand, _SECOND_MOMENTS[node.activation], f"{inside}expand", 0.5)
                return moment * _GATE
            case SplitAttention():
                return self.split_attention(node, moment, path)
            case Linear():
                weight = self.normals(node.out_features, node.in_features)
                self.out[f"{path}.weight"] = weight / np.float32(math.sqrt(node.in_features))
                self.out[f"{path}.bias"] = 0.1 * self.normals(node.out_features)
            case GlobalPool() | Pad() | ChannelShuffle() | Dropout() | Flatten():
                pass
        return moment

    def sequence(self, node: Seq | Residual, moment: float, inside: str) -> float:
        """Draw the weights of one node after another; return the second moment of the last."""
        previous: Node | None = None
        for name, child in node.children:
            # A sum with what an activation put out is not normally distributed around zero: hardly
            # anything of it is cut off.
            kept = isinstance(previous, Residual | Sum) and isinstance(child, Activation)
            moment = moment if kept else self.node(child, moment, f"{inside}{name}")
            previous = child
        return moment

    def branches(self, node: Branches, moment: float, inside: str) -> float:
        """Draw the weights of branches; return the second moment of their joined outputs."""
        moments: list[float] = []
        for name, child in node.children:
            before = moments[-1] if isinstance(node, Cascade) and moments else 0.0
            moments.append(self.node(child, moment + before, f"{inside}{name}"))
        return sum(moments) if isinstance(node, Sum) else max(moments)

    def split_attention(self, node: SplitAttention, moment: float, path: str) -> float:
        """Draw the weights of a split attention; return the second moment of its outputs."""
        self.conv(node.reduce, moment * node.radix, f"{path}.reduce")
        if node.norm is not None:
            self.norm(node.norm, 1.0, f"{path}.norm")
        self.conv(node.expand, _SECOND_MOMENTS[node.activation], f"{path}.expand", 0.5)
        # A sum of `radix` groups with shares of about 1 / radix each.
        return moment * (_GATE if node.radix == 1 else 1 / node.radix)

    def conv(self, conv: Conv, moment: float, path: str, size: float = 1.0) -> None:
        """Draw the weights of a convolution whose outputs have the standard deviation `size`."""
        fan_in = conv.taps * conv.in_channels // conv.groups
        scale = np.float32(size / math.sqrt(fan_in * max(moment, 1e-6)))
        shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.window)
        self.out[f"{path}.weight"] = scale * self.normals(*shape)
        if conv.bias:
            self.out[f"{path}.bias"] = 0.1 * self.normals(conv.out_channels)

    def norm(self, norm: BatchNorm, moment: float, path: str) -> float:
        """Draw a batch normalization of inputs with the second moment `moment`."""
        channels, size = norm.channels, np.float32(math.sqrt(max(moment, 1e-6)))
        self.affine(channels, path)
        self.out[f"{path}.running_mean"] = size * (0.1 * self.normals(channels))
        self.out[f"{path}.running_var"] = size**2 * (1 + 0.1 * np.tanh(self.normals(channels)))
        return 1.0

    def affine(self, channels: int, path: str) -> None:
        """Draw what normalization is followed by: scales around 1, and shifts."""
        self.out[f"{path}.weight"] = 1 + 0.1 * np.tanh(self.normals(channels))
        self.out[f"{path}.bias"] = _BIAS * self.normals(channels)
