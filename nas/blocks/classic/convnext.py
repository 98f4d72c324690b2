"""The block of ConvNeXt and its downsampling layer (Liu et al. 2022, ConvNeXt, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels, Ratio
from nas.blocks.parts import Parts, Rules, activation, split_channels
from nas.blocks.ratios import multiple, rounded_product
from nas.ir import Conv, LayerNorm, MixConv, Node, Residual, Scale, Seq


@dataclass(frozen=True, config=CONFIG)
class ConvNeXtBlock(Block):
    """(Mixed) depthwise convolution, layer normalization, and two 1x1 convolutions, with a skip.

    All convolutions have biases; the activation stands between the 1x1 convolutions, and a learned
    scale at the end of the branch. With another number of channels than its input, or stride 2, the
    block begins with layer normalization and a dense convolution of kernel and stride 2 (1 at
    stride 1), as between ConvNeXt's stages.

    Attributes:
        kernels: Kernel sizes of the kernel groups of the depthwise convolution.
        expansion: Channels between the 1x1 convolutions as a multiple of the block's channels.
        activation: Activation function.
    """

    op: Literal["convnext"] = "convnext"
    kernels: Kernels = (7,)
    expansion: Ratio = 4
    activation: ActivationName = "gelu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kernels": ("channels",),
        "expansion": ("channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If a kernel group would be left without channels.
        """
        width, mid = self.channels, self._expanded(self.expansion)
        parts: Parts = [
            ("depthwise", self._depthwise(rules)),
            ("norm", LayerNorm(width)),
            ("expand", Conv(width, mid, bias=True)),
        ]
        if self.activation != "identity":
            parts.append(("act", activation(self.activation)))
        parts += [("project", Conv(mid, width, bias=True)), ("scale", Scale(width))]
        block = Residual(tuple(parts))
        if self.stride == 1 and in_channels == width:
            return block
        reduce = Conv(in_channels, width, self.stride, self.stride, bias=True, padding=(0, 0, 0, 0))
        down = Seq((("norm", LayerNorm(in_channels)), ("conv", reduce)))
        return Seq((("down", down), ("block", block)))

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "kernels":
            split_channels(self.channels, len(self.kernels))
        if name == "expansion":
            return multiple(self.channels, self._expanded(self.expansion), self._expanded)
        return super().canonical_value(name, in_channels)

    def _expanded(self, ratio: float) -> int:
        return rounded_product(self.channels, ratio)

    def _depthwise(self, rules: Rules) -> Conv | MixConv:
        sizes = split_channels(self.channels, len(self.kernels))
        convs = tuple(
            Conv(size, size, kernel, groups=size, bias=True, padding=rules.padding)
            for size, kernel in zip(sizes, self.kernels, strict=True)
        )
        return convs[0] if len(convs) == 1 else MixConv(convs)
