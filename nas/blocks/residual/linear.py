"""The block of RegNetZ: an inverted bottleneck with a linear output and grouped convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels, Ratio, SERatio, Skip, Split
from nas.blocks.parts import Parts, Rules, depthwise, pointwise, squeeze_excite
from nas.blocks.ratios import multiple, rounded_product, share
from nas.blocks.residual.base import divided, has_equal_split
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class LinearBottleneck(Block):
    """1x1 expansion, (mixed) grouped convolution, SE, linear 1x1 projection, skip.

    It is the Z block of RegNet (Dollar et al. 2021, Fast and Accurate Model Scaling, section 5;
    pycls, ``res_bottleneck_linear_block``). It differs from MBConv in that channels in the middle
    are a multiple of the block's output, not of its input.

    Attributes:
        expansion: Channels in the middle as a multiple of the output channels.
        group_width: Channels per group of the convolution in the middle; 0 for one group of all
            channels.
        kernels: Kernel size of every kernel group in the middle, 1 to 5 groups.
        split: How channels are split among the kernel groups, ``equal`` or ``exponential``.
        se_ratio: Squeezed channels of SE as a fraction of the block's input channels; 0 for no SE.
        activation: Activation function after the first two convolutions, and inside SE.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
    """

    op: Literal["linear_bottleneck"] = "linear_bottleneck"
    expansion: Ratio = 4
    group_width: Annotated[int, Field(ge=0, le=1024, strict=True)] = 0
    kernels: Kernels = (3,)
    split: Split = "equal"
    se_ratio: SERatio = 0
    activation: ActivationName = "swish"
    skip: Skip = True
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "expansion": ("channels", "group_width"),
        "group_width": ("channels", "expansion"),
        "kernels": ("channels", "expansion", "group_width"),
        "split": ("kernels", "channels", "expansion", "group_width"),
        "se_ratio": ("in_channels",),
    }

    def middle_channels(self) -> int:
        """Return the number of channels in the middle.

        Raises:
            ValueError: If `group_width` does not divide it.
        """
        return divided(rounded_product(self.channels, self.expansion), self.group_width)

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If `group_width` does not divide the channels in the middle, or a kernel
                group would be left without channels.
        """
        mid, act = self.middle_channels(), self.activation
        middle = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            split=self.split,
            group_width=self.group_width or mid,
            activation=act,
            rules=rules,
        )
        parts: Parts = [
            ("expand", pointwise(in_channels, mid, groups=1, activation=act, rules=rules)),
            ("middle", middle),
        ]
        if self.se_ratio:
            parts.append(
                ("se", squeeze_excite(mid, rounded_product(in_channels, self.se_ratio), act))
            )
        parts.append(
            ("project", pointwise(mid, self.channels, groups=1, activation=None, rules=rules))
        )
        return self._with_skip(parts, in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        mid = self.middle_channels()
        if name == "group_width":
            return 0 if self.group_width == mid else self.group_width
        if name == "expansion":
            return multiple(self.channels, mid, lambda ratio: rounded_product(self.channels, ratio))
        if name == "se_ratio" and self.se_ratio:
            squeezed = rounded_product(in_channels, self.se_ratio)
            return share(in_channels, squeezed, lambda ratio: rounded_product(in_channels, ratio))
        if name in ("kernels", "split"):
            equal = has_equal_split(mid, self.group_width, len(self.kernels), self.split)
            if name == "split" and equal:
                return "equal"
        return super().canonical_value(name, in_channels)
