"""The mobile inverted bottleneck block (Sandler et al. 2018, section 3.3) with MixConv."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.depthwise import DepthwiseBlock
from nas.blocks.fields import Groups, Ratio
from nas.blocks.parts import Rules, expanded, pointwise
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class MBConv(DepthwiseBlock):
    """1x1 expansion, mixed depthwise convolution, squeeze-and-excitation, 1x1 projection, skip.

    It follows MixNet's published code (tensorflow/tpu, models/official/mnasnet/mixnet): there is
    no expansion layer at ratio 1, a single BN covers the concatenated kernel groups, the SE ratio
    is relative to the block's input, and the projection is linear.

    Attributes:
        expansion: Expansion ratio: expanded channels as a multiple of the input channels.
        expand_groups: Number of groups of the 1x1 expansion.
    """

    op: Literal["mbconv"] = "mbconv"
    expansion: Ratio = 6
    expand_groups: Groups = 1

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        mid = expanded(in_channels, self.expansion, self.group_width)
        parts: list[tuple[str, Node]] = []
        if mid != in_channels or self.expansion != 1:
            expansion = pointwise(
                in_channels,
                mid,
                groups=self.expand_groups,
                activation=self.activation,
                rules=rules,
            )
            parts.append(("expand", expansion))
        parts += self._middle(mid, in_channels, rules)
        projection = pointwise(
            mid, self.channels, groups=self.project_groups, activation=None, rules=rules
        )
        parts.append(("project", projection))
        return self._with_skip(parts, in_channels, self.skip)
