"""The depthwise separable convolution (Howard et al. 2017, MobileNet, section 3.1)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.depthwise import DepthwiseBlock
from nas.blocks.parts import Rules, pointwise
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DSConv(DepthwiseBlock):
    """Mixed depthwise, squeeze-and-excitation, 1x1; each convolution with BN and activation.

    The linear form, without the last activation, is `MBConv` with expansion 1.
    """

    op: Literal["dsconv"] = "dsconv"
    skip: bool = False

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """See `Block.expand`.

        Raises:
            ValueError: when `group_width` does not divide the input's channels.
        """
        if in_channels % self.group_width:
            raise ValueError(
                f"group_width {self.group_width} does not divide {in_channels} input channels"
            )
        parts = self._middle(in_channels, in_channels, rules)
        last = pointwise(in_channels, self.channels, self.project_groups, self.activation, rules)
        return self._with_skip([*parts, ("project", last)], in_channels, self.skip)
