"""The depthwise separable convolution (Howard et al. 2017, MobileNet, section 3.1)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Groups, GroupWidth, Kernels, SERatio, Split
from nas.blocks.parts import Rules, depthwise, pointwise, squeeze_excite
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DSConv(Block):
    """Mixed depthwise, squeeze-and-excitation, 1x1; each convolution with BN and activation.

    The linear form without the last activation is `MBConv` with expansion 1. Fields as in `MBConv`.
    """

    op: Literal["dsconv"] = "dsconv"
    kernels: Kernels = (3,)
    split: Split = "equal"
    dilated: bool = False
    group_width: GroupWidth = 1
    project_groups: Groups = 1
    se_ratio: SERatio = 0
    activation: ActivationName = "relu"
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
        mixed = depthwise(
            in_channels,
            self.kernels,
            self.stride,
            self.split,
            self.dilated,
            self.group_width,
            self.activation,
            rules,
        )
        parts: list[tuple[str, Node]] = [("depthwise", mixed)]
        if self.se_ratio:
            reduced = max(1, int(in_channels * self.se_ratio))
            parts.append(("se", squeeze_excite(in_channels, reduced, self.activation)))
        last = pointwise(in_channels, self.channels, self.project_groups, self.activation, rules)
        parts.append(("project", last))
        return self._with_skip(parts, in_channels, self.skip)
