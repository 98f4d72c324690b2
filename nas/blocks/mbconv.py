"""The mobile inverted bottleneck (Sandler et al. 2018, section 3.3) with MixConv."""

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
    """1x1 expand, mixed depthwise, squeeze-and-excitation, 1x1 project, skip.

    As in MixNet's published code (tensorflow/tpu, models/official/mnasnet/mixnet): no expansion
    layer at ratio 1, one BN over the concatenated kernels, the SE ratio taken of the block's
    input, a linear projection.

    Attributes:
        expansion: expanded channels as a multiple of the input's.
        expand_groups: groups of the 1x1 expansion.
    """

    op: Literal["mbconv"] = "mbconv"
    expansion: Ratio = 6
    expand_groups: Groups = 1

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """See `Block.expand`."""
        mid = expanded(in_channels, self.expansion, self.group_width)
        parts: list[tuple[str, Node]] = []
        if mid != in_channels or self.expansion != 1:
            wide = pointwise(in_channels, mid, self.expand_groups, self.activation, rules)
            parts.append(("expand", wide))
        parts += self._middle(mid, in_channels, rules)
        narrow = pointwise(mid, self.channels, self.project_groups, None, rules)
        parts.append(("project", narrow))
        return self._with_skip(parts, in_channels, self.skip)
