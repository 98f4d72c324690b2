"""The mobile inverted bottleneck block (Sandler et al. 2018, section 3.3) with MixConv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.depthwise import DepthwiseBlock
from nas.blocks.fields import Groups, Ratio
from nas.blocks.parts import Rules, expanded, pointwise, split_channels
from nas.blocks.ratios import multiple
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
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **DepthwiseBlock.context,
        "split": ("kernels", "expansion", "group_width", "in_channels"),
        "se_ratio": ("se_base", "expansion", "group_width", "in_channels"),
        "se_base": ("se_ratio", "expansion", "group_width", "in_channels"),
        "project_groups": ("channels", "expansion", "group_width", "in_channels"),
        "expansion": ("group_width", "in_channels"),
        "expand_groups": ("expansion", "group_width", "in_channels"),
    }

    def middle_channels(self, in_channels: int) -> int:
        """See `DepthwiseBlock.middle_channels`."""
        return expanded(in_channels, self.expansion, self.group_width)

    def expands(self, in_channels: int) -> bool:
        """Return whether the block has an expansion layer."""
        return self.expansion != 1 or self.middle_channels(in_channels) != in_channels

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        mid = self.middle_channels(in_channels)
        parts: list[tuple[str, Node]] = []
        if self.expands(in_channels):
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
        return self._with_skip(parts, in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "expansion":
            if not self.expands(in_channels):
                return 1
            return self.expansion_to(in_channels, self.middle_channels(in_channels))
        if name == "expand_groups":
            if not self.expands(in_channels):
                return type(self).expand_groups
            split_channels(in_channels, self.expand_groups)
            split_channels(self.middle_channels(in_channels), self.expand_groups)
        return super().canonical_value(name, in_channels)

    def expansion_to(self, in_channels: int, mid: int) -> float:
        """Return the smallest whole ratio, or else the shortest, that expands to `mid` channels.

        Ratio 1 is no expansion if it leaves the channels as they are.
        """

        def product(ratio: float) -> int:
            found = expanded(in_channels, ratio, self.group_width)
            return -1 if ratio == 1 and found == in_channels else found

        return multiple(in_channels, mid, product, margin=self.group_width + 2 * 8)
