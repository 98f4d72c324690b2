"""The fused inverted bottleneck block (Tan and Le 2021, EfficientNetV2, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernel, Ratio, SERatio, Skip
from nas.blocks.parts import (
    Parts,
    Rules,
    dense,
    expanded,
    pointwise,
    squeeze_excite,
)
from nas.blocks.ratios import floored_product, multiple, share
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class FusedMBConv(Block):
    """A dense convolution that expands, squeeze-and-excitation, 1x1 projection, skip connection.

    The dense convolution takes the place of MBConv's 1x1 expansion and depthwise convolution. It is
    there at every expansion ratio; the first stage of the published networks, with ratio 1, has
    `conv` blocks.

    Attributes:
        kernel: Kernel size of the dense convolution.
        expansion: Expansion ratio: expanded channels as a multiple of the input channels.
        se_ratio: Squeezed channels of SE as a fraction of the block's input channels; 0 for no SE.
        activation: Activation function after the dense convolution and inside SE.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
    """

    op: Literal["fused"] = "fused"
    kernel: Kernel = 3
    expansion: Ratio = 4
    se_ratio: SERatio = 0
    activation: ActivationName = "swish"
    skip: Skip = True
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "expansion": ("in_channels",),
        "se_ratio": ("in_channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        mid = expanded(in_channels, self.expansion)
        first = dense(
            in_channels,
            mid,
            kernel=self.kernel,
            stride=self.stride,
            activation=self.activation,
            rules=rules,
        )
        parts: Parts = [("expand", first)]
        if self.se_ratio:
            reduced = self._reduced(in_channels, self.se_ratio)
            parts.append(("se", squeeze_excite(mid, reduced, self.activation)))
        projection = pointwise(mid, self.channels, groups=1, activation=None, rules=rules)
        return self._with_skip([*parts, ("project", projection)], in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "expansion":
            mid = expanded(in_channels, self.expansion)
            return multiple(in_channels, mid, lambda ratio: expanded(in_channels, ratio))
        if name == "se_ratio" and self.se_ratio:
            return share(
                in_channels,
                self._reduced(in_channels, self.se_ratio),
                partial(self._reduced, in_channels),
            )
        return super().canonical_value(name, in_channels)

    @staticmethod
    def _reduced(in_channels: int, ratio: float) -> int:
        return floored_product(in_channels, ratio)
