"""The depthwise separable convolution block (Howard et al. 2017, MobileNet, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.depthwise import DepthwiseBlock
from nas.blocks.fields import Skip
from nas.blocks.parts import Rules, pointwise
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DSConv(DepthwiseBlock):
    """Mixed depthwise convolution, squeeze-and-excitation and 1x1 convolution.

    Both convolutions are followed by BN and an activation. The linear variant, without the last
    activation, is `MBConv` with expansion ratio 1.
    """

    op: Literal["dsconv"] = "dsconv"
    skip: Skip = False
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **DepthwiseBlock.context,
        "group_width": ("in_channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If `group_width` does not divide the number of input channels.
        """
        parts = self._middle(self.middle_channels(in_channels), in_channels, rules)
        projection = pointwise(
            in_channels,
            self.channels,
            groups=self.project_groups,
            activation=self.activation,
            rules=rules,
        )
        return self._with_skip([*parts, ("project", projection)], in_channels, self.skip, rules)

    def middle_channels(self, in_channels: int) -> int:
        """See `DepthwiseBlock.middle_channels`."""
        if in_channels % self.group_width:
            raise ValueError(
                f"group_width {self.group_width} does not divide {in_channels} input channels"
            )
        return in_channels

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "group_width":
            self.middle_channels(in_channels)
        return super().canonical_value(name, in_channels)
