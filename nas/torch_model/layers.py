"""The leaves of layer trees as torch modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.ir import (
    LEAKY_SLOPE,
    Activation,
    BatchNorm,
    ChannelShuffle,
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
    Scale,
    SplitAttention,
    SqueezeExcite,
    pool_pads,
)
from nas.torch_model.convolutions import MixConv2d, conv_module

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
    "mish": nn.Mish,
    "gelu": nn.GELU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "identity": nn.Identity,
}


def in_place(activation: nn.Module, value: bool) -> nn.Module:
    """Return an activation function that overwrites its input, or one that does not.

    Overwriting saves memory in training, but is right only where nothing else reads the input.

    Args:
        activation: The activation function, which is changed; one that cannot overwrite stays.
        value: Whether it overwrites its input.
    """
    if hasattr(activation, "inplace"):
        activation.inplace = value  # type: ignore[assignment]
    return activation


class SqueezeExcite2d(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): (N, C, H, W) -> (N, C, H, W).

    It computes x * gate(expand(act(norm(reduce(mean(x)))))), where many have no `norm`.
    """

    def __init__(self, node: SqueezeExcite) -> None:
        super().__init__()
        self.reduce = conv_module(node.reduce)
        self.norm = None if node.norm is None else leaf_module(node.norm)
        self.act = in_place(_ACTIVATIONS[node.activation](), True)
        self.expand = conv_module(node.expand)
        self.hard = node.gate == "hard_sigmoid"

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        pooled = x.mean((2, 3), keepdim=True)
        squeezed = self.reduce(pooled)
        if self.norm is not None:
            squeezed = self.norm(squeezed)
        gate = self.expand(self.act(squeezed))
        return x * (F.hardsigmoid(gate) if self.hard else torch.sigmoid(gate))


class SplitAttention2d(nn.Module):
    """Attention over groups of channels (ResNeSt): (N, radix * C, H, W) -> (N, C, H, W)."""

    def __init__(self, node: SplitAttention) -> None:
        super().__init__()
        self.groups = (node.radix, node.channels)
        self.reduce = conv_module(node.reduce)
        self.norm = nn.Identity() if node.norm is None else leaf_module(node.norm)
        self.act = in_place(_ACTIVATIONS[node.activation](), True)
        self.expand = conv_module(node.expand)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        groups = torch.unflatten(x, 1, self.groups)
        pooled = groups.sum(1).mean((2, 3), keepdim=True)
        logits = self.expand(self.act(self.norm(self.reduce(pooled))))
        logits = torch.unflatten(logits, 1, self.groups)
        gate = torch.sigmoid(logits) if self.groups[0] == 1 else torch.softmax(logits, 1)
        return (groups * gate).sum(1)


class PaddedPool2d(nn.Module):
    """Pooling with paddings that torch's own layers lack: (N, C, H, W) -> (N, C, H', W')."""

    def __init__(self, node: Pool) -> None:
        super().__init__()
        self.node = node

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        node, size = self.node, x.shape[2:]
        top, left, bottom, right = pool_pads(node, (x.shape[1], *size))
        pads = (left, right, top, bottom)
        if node.kind == "max":
            padded = F.pad(x, pads, value=-torch.inf)
            return F.max_pool2d(padded, node.kernel, node.stride)
        mean = F.avg_pool2d(F.pad(x, pads), node.kernel, node.stride)
        counted = x.new_ones(1, 1, *size)  # zeros where a pixel does not count
        if node.count_padding:
            top, left, bottom, right = pool_pads(replace(node, ceil=False), (x.shape[1], *size))
            counted = F.pad(counted, (left, right, top, bottom), value=1.0)
            pads = (0, pads[1] - right, 0, pads[3] - bottom)
        return mean / F.avg_pool2d(F.pad(counted, pads), node.kernel, node.stride)


class ChannelShuffle2d(nn.Module):
    """Interleaves groups of channels: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of every pixel: (N, C, H, W) -> (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelScale(nn.Module):
    """A learned factor for every channel: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return x * self.weight[:, None, None]


class Classifier(nn.Linear):
    """Flattening, dropout and a linear layer: (N, C, H, W) -> logits (N, classes)."""

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.dropout(x.flatten(1), self.dropout, self.training))


def _pool(node: Pool) -> nn.Module:
    """Return a pooling; torch's own class pads opposite sides alike, by half a window at most."""
    margins: tuple[int, int] | None = (node.margin, node.margin)
    if not isinstance(node.padding, str):
        top, left, bottom, right = node.padding
        alike = (top, left) == (bottom, right) and max(top, left) <= node.kernel // 2
        margins = (top, left) if alike else None
    elif node.padding == "same" and (node.stride > 1 or node.kernel % 2 == 0):
        margins = None
    if margins is None:
        return PaddedPool2d(node)
    if node.kind == "max":
        return nn.MaxPool2d(node.kernel, node.stride, margins, ceil_mode=node.ceil)
    return nn.AvgPool2d(node.kernel, node.stride, margins, node.ceil, node.count_padding)


def leaf_module(node: Node, dropout: float = 0.0) -> nn.Module:
    """Return a leaf of a layer tree as a torch module with random weights.

    Args:
        node: The leaf.
        dropout: Probability of zeroing a feature before a linear layer, in training.
    """
    match node:
        case Conv():
            return conv_module(node)
        case MixConv():
            return MixConv2d([conv_module(conv) for conv in node.convs])
        case BatchNorm():
            return nn.BatchNorm2d(node.channels, node.eps, node.momentum)
        case Activation():
            return _ACTIVATIONS[node.function]()
        case SqueezeExcite():
            return SqueezeExcite2d(node)
        case SplitAttention():
            return SplitAttention2d(node)
        case Pool():
            return _pool(node)
        case ChannelShuffle():
            return ChannelShuffle2d(node.groups)
        case LayerNorm():
            return LayerNorm2d(node.channels, node.eps)
        case Scale():
            return ChannelScale(node.channels, node.initial)
        case LocalResponseNorm():
            return nn.LocalResponseNorm(node.size, node.alpha, node.beta, node.bias)
        case Dropout():
            return nn.Dropout(node.rate)
        case Pad():
            top, left, bottom, right = node.pads
            sides = (left, right, top, bottom)
            return (
                nn.ZeroPad3d((*sides, 0, node.channels)) if node.channels else nn.ZeroPad2d(sides)
            )
        case Flatten():
            return nn.Flatten()
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear():
            return Classifier(node.in_features, node.out_features, dropout)
    raise TypeError(f"{type(node).__name__} is not a leaf of a layer tree")
