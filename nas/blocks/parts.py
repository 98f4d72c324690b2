"""The parts that blocks share. Equal arguments give the same tree, so costs are counted once."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    MixConv,
    Node,
    Padding,
    Seq,
    SqueezeExcite,
)

_CACHE = 1 << 16


class Rules(NamedTuple):
    """What holds for a whole network: the padding rule and batch normalisation's constants."""

    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, at most 10% down (MobileNetV2's published code)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def expanded(in_channels: int, ratio: float, group_width: int = 1) -> int:
    """Return the channels of an expansion.

    A whole ratio is exact (as in MixNet's published code), a fractional one is rounded to a
    multiple of 8 (as in timm). Both are then rounded up to whole groups of `group_width`.
    """
    mid = in_channels * ratio if isinstance(ratio, int) else make_divisible(in_channels * ratio)
    return -(-int(mid) // group_width) * group_width


def split_channels(channels: int, groups: int, rule: str = "equal") -> tuple[int, ...]:
    """Split channels over groups.

    ``equal`` gives everyone channels // groups and the remainder to the first group (MixNet's
    published code); ``exponential`` gives group i a share of 2^-i and the last one the rest
    (Tan and Le 2019, section 3.2).

    Raises:
        ValueError: when a group would have no channel.
    """
    if rule == "equal":
        base = channels // groups
        sizes = (channels - base * (groups - 1), *[base] * (groups - 1))
    else:
        halves = [channels >> i for i in range(1, groups)]
        sizes = (*halves, channels - sum(halves))
    if min(sizes) < 1:
        raise ValueError(f"{channels} channels cannot be split over {groups} groups ({rule})")
    return sizes


@lru_cache(_CACHE)
def pointwise(
    in_channels: int, out_channels: int, groups: int, activation: str | None, rules: Rules
) -> Seq:
    """A 1x1 convolution in `groups` groups (input and output split alike, no shuffle), BN, act."""
    conv: Node = Conv(in_channels, out_channels)
    if groups > 1:
        sizes = zip(
            split_channels(in_channels, groups), split_channels(out_channels, groups), strict=True
        )
        conv = MixConv(tuple(Conv(i, o) for i, o in sizes))
    return _normalised(conv, out_channels, activation, rules)


@lru_cache(_CACHE)
def dense(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int,
    activation: str | None,
    rules: Rules,
) -> Seq:
    """A dense convolution, BN, activation."""
    conv = Conv(in_channels, out_channels, kernel, stride, padding=rules.padding)
    return _normalised(conv, out_channels, activation, rules)


@lru_cache(_CACHE)
def depthwise(
    channels: int,
    kernels: tuple[int, ...],
    stride: int,
    split: str,
    dilated: bool,
    group_width: int,
    activation: str | None,
    rules: Rules,
) -> Seq:
    """A (mixed) depthwise convolution, ONE BN over the concatenation, activation.

    With `dilated`, at stride 1, kernel k becomes a 3x3 with dilation (k - 1) / 2 (Tan and Le 2019,
    section 3.2). With `group_width` > 1 every kernel's convolution has groups of that width, and
    channels are split in whole groups.
    """

    def conv(width: int, kernel: int) -> Conv:
        dilation = (kernel - 1) // 2 if dilated and stride == 1 and kernel > 1 else 1
        size = 3 if dilation > 1 else kernel
        return Conv(
            width, width, size, stride, width // group_width, dilation, padding=rules.padding
        )

    sizes = split_channels(channels // group_width, len(kernels), split)
    convs = tuple(conv(n * group_width, k) for n, k in zip(sizes, kernels, strict=True))
    return _normalised(convs[0] if len(convs) == 1 else MixConv(convs), channels, activation, rules)


@lru_cache(_CACHE)
def squeeze_excite(channels: int, reduced: int, activation: str) -> SqueezeExcite:
    """Squeeze-and-excitation through `reduced` channels, with biases and a sigmoid gate."""
    return SqueezeExcite(
        Conv(channels, reduced, bias=True), Conv(reduced, channels, bias=True), activation
    )


def _normalised(conv: Node, channels: int, activation: str | None, rules: Rules) -> Seq:
    norm = BatchNorm(channels, rules.norm_eps, rules.norm_momentum)
    parts: list[tuple[str, Node]] = [("conv", conv), ("norm", norm)]
    if activation not in (None, "identity"):
        parts.append(("act", _activation(activation)))
    return Seq(tuple(parts))


@lru_cache(_CACHE)
def _activation(function: str) -> Activation:
    return Activation(function)
