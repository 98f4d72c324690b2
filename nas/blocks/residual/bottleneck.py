"""The residual bottleneck block (He et al. 2016, ResNet, figure 5, right), with groups and SE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.fields import Kernels, Ratio, Split
from nas.blocks.parts import Parts, Rules, depthwise, pointwise
from nas.blocks.ratios import bottleneck_ratio, middle_channels
from nas.blocks.residual.base import (
    ResidualBlock,
    divided,
    has_equal_split,
)
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class Bottleneck(ResidualBlock):
    """1x1 convolution, (mixed) grouped convolution, 1x1 convolution, and a shortcut.

    It is the block of ResNet with the stride in the middle, of ResNeXt (Xie et al. 2017), and the X
    and Y blocks of RegNet (Radosavovic et al. 2020, section 3.2). BN follows every convolution; the
    activation follows the first two and the sum.

    Attributes:
        bottleneck_ratio: Output channels as a multiple of the channels in the middle, b in RegNet.
        group_width: Channels per group of the convolution in the middle, g in RegNet; 0 for one
            group of all channels.
        kernels: Kernel size of every kernel group in the middle, 1 to 5 groups.
        split: How channels are split among the kernel groups, ``equal`` or ``exponential``.
    """

    op: Literal["bottleneck"] = "bottleneck"
    bottleneck_ratio: Ratio = 4
    group_width: Annotated[int, Field(ge=0, le=1024, strict=True)] = 0
    kernels: Kernels = (3,)
    split: Split = "equal"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **ResidualBlock.context,
        "bottleneck_ratio": ("channels", "group_width"),
        "group_width": ("channels", "bottleneck_ratio"),
        "kernels": ("channels", "bottleneck_ratio", "group_width"),
        "split": ("kernels", "channels", "bottleneck_ratio", "group_width"),
    }

    def middle_channels(self) -> int:
        """Return the number of channels in the middle.

        Raises:
            ValueError: If `group_width` does not divide it.
        """
        return divided(middle_channels(self.channels, self.bottleneck_ratio), self.group_width)

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If `group_width` does not divide the channels in the middle, or a kernel
                group would be left without channels.
        """
        mid, act = self.middle_channels(), self.activation
        middle = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            split=self.split,
            group_width=self.group_width or mid,
            activation=act,
            rules=rules,
        )
        branch: Parts = [
            ("reduce", pointwise(in_channels, mid, groups=1, activation=act, rules=rules)),
            ("middle", middle),
            *self._squeeze_excite("middle", mid, in_channels),
            ("expand", pointwise(mid, self.channels, groups=1, activation=None, rules=rules)),
            *self._squeeze_excite("end", self.channels, in_channels),
        ]
        return self._add_shortcut(branch, in_channels, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "group_width":
            return 0 if self.group_width == self.middle_channels() else self.group_width
        if name == "bottleneck_ratio":
            return bottleneck_ratio(self.channels, self.middle_channels())
        if name in ("kernels", "split"):
            equal = has_equal_split(
                self.middle_channels(), self.group_width, len(self.kernels), self.split
            )
            if name == "split" and equal:
                return "equal"
        return super().canonical_value(name, in_channels)
