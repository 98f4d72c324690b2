"""What the families with a (mixed) depthwise convolution in the middle share."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Groups, GroupWidth, Kernels, SERatio, Split
from nas.blocks.parts import Rules, depthwise, squeeze_excite
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DepthwiseBlock(Block):
    """A block around a mixed depthwise convolution; no family of its own.

    Attributes:
        kernels: one kernel size a group of channels; 1 to 5 groups.
        split: how channels are shared among the groups, ``equal`` or ``exponential``.
        dilated: at stride 1, dilated 3x3 kernels in place of large ones.
        group_width: channels per group of the depthwise part; 1 is depthwise.
        project_groups: groups of the 1x1 projection.
        se_ratio: squeezed channels as a share of the block's input; 0 for none.
        activation: after the convolutions, and inside SE.
        skip: add the input where the shapes allow it.
    """

    kernels: Kernels = (3,)
    split: Split = "equal"
    dilated: bool = False
    group_width: GroupWidth = 1
    project_groups: Groups = 1
    se_ratio: SERatio = 0
    activation: ActivationName = "relu"
    skip: bool = True

    def _middle(self, mid: int, in_channels: int, rules: Rules) -> list[tuple[str, Node]]:
        """Return the depthwise convolution and SE over `mid` channels."""
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
        if not self.se_ratio:
            return [("depthwise", mixed)]
        reduced = max(1, int(in_channels * self.se_ratio))
        return [("depthwise", mixed), ("se", squeeze_excite(mid, reduced, self.activation))]
