"""The mobile inverted bottleneck (Sandler et al. 2018, section 3.3) with MixConv."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import (
    ActivationName,
    Groups,
    GroupWidth,
    Kernels,
    Ratio,
    SERatio,
    Split,
)
from nas.blocks.parts import Rules, depthwise, expanded, pointwise, squeeze_excite
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class MBConv(Block):
    """1x1 expand, mixed depthwise, squeeze-and-excitation, 1x1 project, skip.

    As in MixNet's published code (tensorflow/tpu, models/official/mnasnet/mixnet): no expansion
    layer at ratio 1, one BN over the concatenated kernels, the SE ratio taken of the block's
    input, a linear projection.

    Attributes:
        kernels: one kernel size a group of channels; 1 to 5 groups.
        split: how channels are shared among the groups, ``equal`` or ``exponential``.
        dilated: at stride 1, dilated 3x3 kernels in place of large ones.
        group_width: channels per group of the depthwise part; 1 is depthwise.
        expansion: expanded channels as a multiple of the input's.
        expand_groups: groups of the 1x1 expansion.
        project_groups: groups of the 1x1 projection.
        se_ratio: squeezed channels as a share of the block's input; 0 for none.
        activation: after expansion and depthwise, and inside SE.
        skip: add the input where the shapes allow it.
    """

    op: Literal["mbconv"] = "mbconv"
    kernels: Kernels = (3,)
    split: Split = "equal"
    dilated: bool = False
    group_width: GroupWidth = 1
    expansion: Ratio = 6
    expand_groups: Groups = 1
    project_groups: Groups = 1
    se_ratio: SERatio = 0
    activation: ActivationName = "relu"
    skip: bool = True

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """See `Block.expand`."""
        mid = expanded(in_channels, self.expansion, self.group_width)
        parts: list[tuple[str, Node]] = []
        if mid != in_channels or self.expansion != 1:
            wide = pointwise(in_channels, mid, self.expand_groups, self.activation, rules)
            parts.append(("expand", wide))
        mixed = depthwise(
            mid,
            self.kernels,
            self.stride,
            self.split,
            self.dilated,
            self.group_width,
            self.activation,
            rules,
        )
        parts.append(("depthwise", mixed))
        if self.se_ratio:
            reduced = max(1, int(in_channels * self.se_ratio))
            parts.append(("se", squeeze_excite(mid, reduced, self.activation)))
        narrow = pointwise(mid, self.channels, self.project_groups, None, rules)
        parts.append(("project", narrow))
        return self._with_skip(parts, in_channels, self.skip)
