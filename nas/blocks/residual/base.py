"""The base class of residual blocks with a shortcut that adapts to other shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, SERatio, Split
from nas.blocks.parts import (
    Parts,
    Rules,
    activated,
    make_divisible,
    pointwise,
    pooled_pointwise,
    split_channels,
    squeeze_excite,
)
from nas.blocks.ratios import rounded_product, share
from nas.ir import Node, Residual, Seq, SqueezeExcite, Sum

Shortcut = Literal["conv", "pool"]
SEPlace = Literal["middle", "end"]


@dataclass(frozen=True, config=CONFIG)
class ResidualBlock(Block):
    """A branch and a shortcut that are added before the last activation; not a family itself.

    The shortcut is the block's input, or, where the shapes differ, a 1x1 convolution of it with BN
    (He et al. 2016, ResNet, section 3.3, option B).

    Attributes:
        se_ratio: Squeezed channels of SE; 0 for no SE.
        se_place: Where SE stands. In the ``middle`` of the branch, its ratio is relative to the
            block's input (Radosavovic et al. 2020, RegNetY). At the ``end``, it is relative to the
            block's output, and rounded to a multiple of 8 (Hu et al. 2018, SE-ResNet, as in timm).
        activation: Activation function of the block, and inside SE.
        shortcut: Shortcut at stride 2: a ``conv`` with that stride, or average pooling (``pool``)
            before a convolution of stride 1 (He et al. 2019, Bag of Tricks, section 4.2, ResNet-D).
    """

    se_ratio: SERatio = 0
    se_place: SEPlace = "middle"
    activation: ActivationName = "relu"
    shortcut: Shortcut = "conv"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "se_ratio": ("se_place", "channels", "in_channels"),
        "se_place": ("se_ratio",),
        "shortcut": ("stride",),
    }

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "se_place" and not self.se_ratio:
            return type(self).se_place
        if name == "shortcut" and self.stride == 1:
            return type(self).shortcut
        if name == "se_ratio" and self.se_ratio:
            reduced, of = self._reduced(in_channels), self._se_base(in_channels)
            return share(of, reduced, lambda r: _reduced(of, r, self.se_place), margin=8)
        return super().canonical_value(name, in_channels)

    def _se_base(self, in_channels: int) -> int:
        """Return the number of channels that the SE ratio is relative to."""
        return in_channels if self.se_place == "middle" else self.channels

    def _reduced(self, in_channels: int) -> int:
        """Return the number of channels that SE squeezes to."""
        return _reduced(self._se_base(in_channels), self.se_ratio, self.se_place)

    def _squeeze_excite(self, place: str, channels: int, in_channels: int) -> Parts:
        """Return the SE layer as a part of the branch, if it stands at this place."""
        if not self.se_ratio or place != self.se_place:
            return []
        se: SqueezeExcite = squeeze_excite(channels, self._reduced(in_channels), self.activation)
        return [("se", se)]

    def _add_shortcut(self, branch: Parts, in_channels: int, rules: Rules) -> Seq:
        """Return the block: the branch and the shortcut, added, and the activation."""
        added: Node
        if self.stride == 1 and in_channels == self.channels:
            added = Residual(tuple(branch))
        else:
            make = pooled_pointwise if self.shortcut == "pool" else strided_pointwise
            other = make(in_channels, self.channels, self.stride, rules)
            added = Sum((("branch", Seq(tuple(branch))), ("shortcut", other)), branch="branch")
        return activated([("add", added)], self.activation)


def divided(mid: int, group_width: int) -> int:
    """Return the channels in the middle.

    Raises:
        ValueError: If the group width does not divide them; 0 stands for one group.
    """
    if mid % (group_width or 1):
        raise ValueError(
            f"group_width {group_width} does not divide the {mid} channels in the middle"
        )
    return mid


def has_equal_split(mid: int, group_width: int, kernels: int, split: Split) -> bool:
    """Return whether a split of the groups in the middle among the kernels is the equal one.

    Raises:
        ValueError: If a kernel group would be left without channels.
    """
    groups = mid // (group_width or mid)
    return split_channels(groups, kernels, split) == split_channels(groups, kernels)


def strided_pointwise(in_channels: int, out_channels: int, stride: int, rules: Rules) -> Seq:
    """Return a 1x1 convolution with the given stride, and BN."""
    return pointwise(
        in_channels, out_channels, groups=1, activation=None, rules=rules, stride=stride
    )


def _reduced(channels: int, ratio: float, place: str) -> int:
    if place == "middle":
        return rounded_product(channels, ratio)
    return make_divisible(channels * ratio, 8, round_limit=0)
