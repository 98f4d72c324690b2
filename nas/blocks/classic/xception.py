"""The blocks of Xception (Chollet 2017, Xception, figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernel
from nas.blocks.parts import Parts, Rules, activated, activation, batch_norm, pointwise
from nas.ir import Conv, Node, Pool, Residual, Seq, Sum


@dataclass(frozen=True, config=CONFIG)
class XceptionBlock(Block):
    """Separable convolutions with an activation before each, and a shortcut.

    A separable convolution is a depthwise and a 1x1 convolution without anything between them,
    and BN. At stride 2, maximum pooling over 3x3 pixels ends the branch. The shortcut is the
    input, or where shapes differ, a 1x1 convolution with BN; nothing follows the sum.

    Attributes:
        kernel: Kernel size of the depthwise convolutions.
        repeats: Number of separable convolutions.
        widen: Which separable convolution changes the number of channels, the ``first`` or the
            ``last``.
        activation: Activation function.
        first_activation: Whether the first separable convolution has an activation before it.
    """

    op: Literal["xception"] = "xception"
    kernel: Kernel = 3
    repeats: Annotated[int, Field(ge=1, le=8, strict=True)] = 3
    widen: Literal["first", "last"] = "first"
    activation: ActivationName = "relu"
    first_activation: bool = True
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "widen": ("repeats", "channels", "in_channels"),
        "first_activation": ("activation",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        widths = [in_channels] + [self.channels] * self.repeats
        if self.widen == "last":
            widths = [in_channels] * self.repeats + [self.channels]
        parts: Parts = []
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            if self.activation != "identity" and (i or self.first_activation):
                parts.append((f"act{i}", activation(self.activation)))
            parts.append((f"separable{i}", _separable(inputs, outputs, self.kernel, rules)))
        if self.stride > 1:
            parts.append(("pool", Pool("max", 3, self.stride)))
        if self.stride == 1 and in_channels == self.channels:
            return Residual(tuple(parts))
        shortcut = pointwise(
            in_channels,
            self.channels,
            groups=1,
            activation=None,
            rules=rules,
            stride=self.stride,
        )
        return Sum((("branch", Seq(tuple(parts))), ("shortcut", shortcut)), branch="branch")

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "widen" and (self.repeats == 1 or in_channels == self.channels):
            return type(self).widen
        if name == "first_activation" and self.activation == "identity":
            return type(self).first_activation
        return super().canonical_value(name, in_channels)


@dataclass(frozen=True, config=CONFIG)
class SeparableConv(Block):
    """A separable convolution with BN and an activation, as at the end of Xception.

    Unlike that of MobileNet (`DSConv`), it has nothing between the depthwise and the 1x1
    convolution.

    Attributes:
        kernel: Kernel size of the depthwise convolution, which has the stride.
        activation: Activation function.
    """

    op: Literal["separable"] = "separable"
    kernel: Kernel = 3
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        conv = _separable(in_channels, self.channels, self.kernel, rules, self.stride)
        return activated(conv.children, self.activation)


@lru_cache(1 << 12)
def _separable(
    in_channels: int, out_channels: int, kernel: int, rules: Rules, stride: int = 1
) -> Seq:
    """Return a depthwise convolution, a 1x1 convolution and BN."""
    depthwise = Conv(
        in_channels, in_channels, kernel, stride, groups=in_channels, padding=rules.padding
    )
    return Seq(
        (
            ("depthwise", depthwise),
            ("pointwise", Conv(in_channels, out_channels)),
            ("norm", batch_norm(out_channels, rules)),
        )
    )
