"""The residual block of Darknet-53 (Redmon and Farhadi 2018, YOLOv3, section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernel, Ratio, Skip
from nas.blocks.parts import Parts, Rules, dense, pointwise
from nas.blocks.ratios import bottleneck_ratio, middle_channels
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DarknetBlock(Block):
    """1x1 convolution, dense convolution, and a skip connection where the shapes allow it.

    BN and an activation follow both convolutions; none follows the sum.

    Attributes:
        kernel: Kernel size of the second convolution, which has the stride.
        bottleneck_ratio: Output channels as a multiple of the channels in the middle.
        activation: Activation function.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
    """

    op: Literal["darknet"] = "darknet"
    kernel: Kernel = 3
    bottleneck_ratio: Ratio = 2
    activation: ActivationName = "leaky_relu"
    skip: Skip = True
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "bottleneck_ratio": ("channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        mid, act = middle_channels(self.channels, self.bottleneck_ratio), self.activation
        second = dense(
            mid, self.channels, kernel=self.kernel, stride=self.stride, activation=act, rules=rules
        )
        parts: Parts = [
            ("reduce", pointwise(in_channels, mid, groups=1, activation=act, rules=rules)),
            ("expand", second),
        ]
        return self._with_skip(parts, in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "bottleneck_ratio":
            mid = middle_channels(self.channels, self.bottleneck_ratio)
            return bottleneck_ratio(self.channels, mid)
        return super().canonical_value(name, in_channels)
