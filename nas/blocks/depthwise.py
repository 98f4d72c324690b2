"""The base class of the families built around a (mixed) depthwise convolution."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Groups, GroupWidth, Kernels, SERatio, Split
from nas.blocks.parts import Rules, depthwise, squeeze_excite
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class DepthwiseBlock(Block):
    """A block with a mixed depthwise convolution in the middle; not a family itself.

    Attributes:
        kernels: Kernel size of every kernel group, 1 to 5 groups.
        split: How channels are split among the kernel groups, ``equal`` or ``exponential``.
        dilated: Whether dilated 3x3 kernels replace larger ones at stride 1.
        group_width: Channels per convolution group in the middle; 1 makes it depthwise.
        project_groups: Number of groups of the 1x1 projection.
        se_ratio: Squeezed channels of SE as a fraction of the block's input channels; 0 for no SE.
        activation: Activation function after the convolutions and inside SE.
        skip: Whether the input is added to the output where the shapes allow it.
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
        """Return the depthwise convolution and the SE, if any, on `mid` channels."""
        mixed = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            split=self.split,
            dilated=self.dilated,
            group_width=self.group_width,
            activation=self.activation,
            rules=rules,
        )
        if not self.se_ratio:
            return [("depthwise", mixed)]
        reduced = max(1, int(in_channels * self.se_ratio))
        return [("depthwise", mixed), ("se", squeeze_excite(mid, reduced, self.activation))]
