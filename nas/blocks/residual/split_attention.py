"""The bottleneck of ResNeSt (Zhang et al. 2020, ResNeSt, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.fields import Ratio
from nas.blocks.parts import Parts, Rules, activated, batch_norm, make_divisible, pointwise
from nas.blocks.ratios import bottleneck_ratio, middle_channels
from nas.blocks.residual.base import ResidualBlock
from nas.ir import Conv, Node, Pool, Seq, SplitAttention

_REDUCTION = 4  # of the channels inside the attention
_LEAST_REDUCED = 32


@dataclass(frozen=True, config=CONFIG)
class SplitAttentionBlock(ResidualBlock):
    """1x1 convolution, 3x3 convolution in groups with attention over them, 1x1 convolution.

    At stride 2, the 3x3 convolution keeps the resolution, and average pooling over 3x3 pixels
    reduces it after the attention (as in the published code and in timm). The shortcut of the
    published networks is pooled.

    Attributes:
        bottleneck_ratio: Output channels as a multiple of the channels in the middle.
        radix: Number of groups that the attention weighs.
    """

    op: Literal["split_attention"] = "split_attention"
    bottleneck_ratio: Ratio = 4
    radix: Annotated[int, Field(ge=1, le=8, strict=True)] = 2
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **ResidualBlock.context,
        "bottleneck_ratio": ("channels", "radix"),
        "radix": ("channels", "bottleneck_ratio"),
    }

    def middle_channels(self) -> int:
        """Return the number of channels in the middle.

        Raises:
            ValueError: If the radix does not divide it.
        """
        mid = middle_channels(self.channels, self.bottleneck_ratio)
        if mid % self.radix:
            raise ValueError(f"radix {self.radix} does not divide the {mid} channels in the middle")
        return mid

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the radix does not divide the channels in the middle.
        """
        mid, act = self.middle_channels(), self.activation
        pooled: Parts = []
        if self.stride > 1:
            pool = Pool("average", 3, self.stride, (1, 1, 1, 1), count_padding=True)
            pooled = [("pool", pool)]
        branch: Parts = [
            ("reduce", pointwise(in_channels, mid, groups=1, activation=act, rules=rules)),
            ("middle", _split_attention(mid, self.radix, act, rules)),
            *pooled,
            *self._squeeze_excite("middle", mid, in_channels),
            ("expand", pointwise(mid, self.channels, groups=1, activation=None, rules=rules)),
            *self._squeeze_excite("end", self.channels, in_channels),
        ]
        return self._add_shortcut(branch, in_channels, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "radix":
            self.middle_channels()
        if name == "bottleneck_ratio":
            return bottleneck_ratio(self.channels, self.middle_channels())
        return super().canonical_value(name, in_channels)


@lru_cache(1 << 12)
def _split_attention(channels: int, radix: int, function: str, rules: Rules) -> Seq:
    """Return the convolution of `radix` groups, BN, activation, and the attention over them."""
    wide = channels * radix
    reduced = max(_LEAST_REDUCED, make_divisible(wide / _REDUCTION))
    conv = Conv(channels, wide, 3, groups=radix, padding=rules.padding)
    attention = SplitAttention(
        channels,
        radix,
        Conv(channels, reduced, bias=True),
        batch_norm(reduced, rules),
        function,
        Conv(reduced, wide, bias=True),
    )
    middle = activated([("conv", conv), ("norm", batch_norm(wide, rules))], function)
    return Seq((*middle.children, ("attention", attention)))
