"""The building blocks of the block families.

Every function is cached: equal arguments return the same tree, so that its costs are counted once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    Flatten,
    Gate,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Padding,
    Pool,
    Seq,
    SqueezeExcite,
)
from nas.units import number_of

_CACHE = 1 << 16
Parts = list[tuple[str, Node]]
"""Named layer trees that run one after another."""


class Rules(NamedTuple):
    """Settings that hold for a whole network.

    Attributes:
        padding: Padding rule of every convolution, ``symmetric`` or ``same``.
        norm_eps: Epsilon of every batch normalization.
        norm_momentum: Momentum of every batch normalization, as torch defines it.
    """

    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1


def make_divisible(value: float, divisor: int = 8, round_limit: float = 0.9) -> int:
    """Round to a multiple of `divisor` (MobileNetV2's published code).

    Args:
        value: The number.
        divisor: What the result is a multiple of, and at least.
        round_limit: Smallest share of the number that it may be rounded down to.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < round_limit * value else rounded


@dataclass(frozen=True)
class Widening:
    """The width of a wider or narrower network, with rounded channels.

    Attributes:
        factor: What channels are multiplied by.
        round_limit: Smallest share of the product that it may be rounded down to.
    """

    factor: float
    round_limit: float = 0.9

    def __call__(self, channels: int) -> int:
        """Return the scaled number of channels; none stay none."""
        if not channels:
            return 0
        return make_divisible(channels * self.factor, round_limit=self.round_limit)


def expanded(in_channels: int, ratio: float, group_width: int = 1) -> int:
    """Return the number of expanded channels.

    An integer ratio is applied exactly (as in MixNet's published code); the result of a fractional
    one is rounded to a multiple of 8 (as in timm). Both are then rounded up to a multiple of
    `group_width`.
    """
    mid = in_channels * ratio if isinstance(ratio, int) else make_divisible(in_channels * ratio)
    return -(-int(mid) // group_width) * group_width


def split_channels(channels: int, groups: int, rule: str = "equal") -> tuple[int, ...]:
    """Return the number of channels of every group.

    Args:
        channels: Number of channels to split.
        groups: Number of groups.
        rule: ``equal`` gives every group channels // groups and the remainder to the first group
            (MixNet's published code); ``exponential`` gives group i (from 1) a fraction of 2^-i
            and the last group the rest (Tan and Le 2019, section 3.2).

    Raises:
        ValueError: If a group would be left without channels.
    """
    if rule == "equal":
        base = channels // groups
        sizes = (channels - base * (groups - 1), *[base] * (groups - 1))
    else:
        halves = [channels >> i for i in range(1, groups)]
        sizes = (*halves, channels - sum(halves))
    if min(sizes) < 1:
        raise ValueError(
            f"{number_of(channels, 'channel')} cannot be split over "
            f"{number_of(groups, 'group')} ({rule})"
        )
    return sizes


@lru_cache(_CACHE)
def pointwise(
    in_channels: int,
    out_channels: int,
    *,
    groups: int,
    activation: str | None,
    rules: Rules,
    stride: int = 1,
) -> Seq:
    """Return a 1x1 convolution with BN and an activation, if any.

    With several groups, input and output channels are both split equally, without a shuffle.
    """
    conv: Node = Conv(in_channels, out_channels, stride=stride)
    if groups > 1:
        sizes = zip(
            split_channels(in_channels, groups), split_channels(out_channels, groups), strict=True
        )
        conv = MixConv(tuple(Conv(i, o, stride=stride) for i, o in sizes))
    return _with_norm(conv, out_channels, activation, rules)


@lru_cache(_CACHE)
def pooled_pointwise(in_channels: int, out_channels: int, stride: int, rules: Rules) -> Seq:
    """Return average pooling with the given stride, if it is not 1, a 1x1 convolution and BN.

    A last window that reaches beyond the image is averaged over what is inside.
    """
    conv = pointwise(in_channels, out_channels, groups=1, activation=None, rules=rules)
    if stride == 1:
        return conv
    pool = Pool("average", stride, stride, (0, 0, 0, 0), ceil=True)
    return Seq((("pool", pool), *conv.children))


@lru_cache(_CACHE)
def dense(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int,
    stride: int,
    activation: str | None,
    rules: Rules,
) -> Seq:
    """Return a dense convolution with BN and an activation, if any."""
    conv = Conv(in_channels, out_channels, kernel, stride, padding=rules.padding)
    return _with_norm(conv, out_channels, activation, rules)


@lru_cache(_CACHE)
def biased(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int,
    stride: int,
    activation: str | None,
    rules: Rules,
) -> Seq:
    """Return a dense convolution with a bias and no BN, and an activation, if any."""
    conv = Conv(in_channels, out_channels, kernel, stride, bias=True, padding=rules.padding)
    return activated([("conv", conv)], activation)


@lru_cache(_CACHE)
def depthwise(
    channels: int,
    *,
    kernels: tuple[int, ...],
    stride: int,
    activation: str | None,
    rules: Rules,
    split: str = "equal",
    dilated: bool = False,
    group_width: int = 1,
) -> Seq:
    """Return a (mixed) depthwise convolution, a single BN over the concatenation, an activation.

    Args:
        channels: Number of input and output channels.
        kernels: Kernel size of every kernel group.
        stride: Stride of the convolutions.
        activation: Activation function, if any.
        rules: Settings of the network.
        split: How channels are split among the kernel groups (see `split_channels`).
        dilated: Whether, at stride 1, a kernel of size k becomes a 3x3 kernel with dilation
            (k - 1) / 2 (Tan and Le 2019, section 3.2).
        group_width: Channels per convolution group. Above 1 the convolutions are grouped rather
            than depthwise, and channels are split in whole groups.

    Raises:
        ValueError: If a kernel group would be left without channels.
    """

    def conv(width: int, kernel: int) -> Conv:
        dilation = (kernel - 1) // 2 if dilated and stride == 1 and kernel > 1 else 1
        size = 3 if dilation > 1 else kernel
        return Conv(
            in_channels=width,
            out_channels=width,
            kernel=size,
            stride=stride,
            groups=width // group_width,
            dilation=dilation,
            padding=rules.padding,
        )

    sizes = split_channels(channels // group_width, len(kernels), split)
    convs = tuple(conv(n * group_width, k) for n, k in zip(sizes, kernels, strict=True))
    mixed = convs[0] if len(convs) == 1 else MixConv(convs)
    return _with_norm(mixed, channels, activation, rules)


@lru_cache(_CACHE)
def squeeze_excite(
    channels: int,
    reduced: int,
    activation: str,
    gate: Gate = "sigmoid",
    normalized: Rules | None = None,
) -> SqueezeExcite:
    """Return a squeeze-and-excitation layer with biases that squeezes to `reduced` channels.

    Args:
        channels: Number of input and output channels.
        reduced: Number of channels in between.
        activation: Activation function in between.
        gate: Function of the gate.
        normalized: Settings of the network, for a batch normalization in between; None for none.
    """
    reduce, expand = Conv(channels, reduced, bias=True), Conv(reduced, channels, bias=True)
    norm = None if normalized is None else batch_norm(reduced, normalized)
    return SqueezeExcite(reduce, expand, activation, gate=gate, norm=norm)


@lru_cache(1)
def global_pool() -> GlobalPool:
    """Return an average pooling over the whole feature map."""
    return GlobalPool()


@lru_cache(1)
def flatten() -> Flatten:
    """Return what turns an image into a row of features."""
    return Flatten()


@lru_cache(_CACHE)
def linear(in_features: int, out_features: int) -> Linear:
    """Return a fully connected layer with bias."""
    return Linear(in_features, out_features)


def _with_norm(conv: Node, channels: int, function: str | None, rules: Rules) -> Seq:
    norm = batch_norm(channels, rules)
    return activated([("conv", conv), ("norm", norm)], function)


def activated(parts: Iterable[tuple[str, Node]], function: str | None) -> Seq:
    """Return parts in sequence, followed by an activation function, if there is one."""
    if function in (None, "identity"):
        return Seq(tuple(parts))
    return Seq((*parts, ("act", activation(function))))


@lru_cache(_CACHE)
def batch_norm(channels: int, rules: Rules) -> BatchNorm:
    """Return a batch normalization with the network's constants."""
    return BatchNorm(channels, rules.norm_eps, rules.norm_momentum)


@lru_cache(_CACHE)
def activation(function: str) -> Activation:
    """Return an activation function by its name."""
    return Activation(function)
