"""The bottleneck of Res2Net (Gao et al. 2019, Res2Net, section 3.1)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.fields import Ratio
from nas.blocks.parts import Parts, Rules, dense, pointwise
from nas.blocks.ratios import LARGEST, shortest_binary
from nas.blocks.residual.base import ResidualBlock
from nas.ir import Cascade, Node, Pool, Seq, Slices


@dataclass(frozen=True, config=CONFIG)
class Res2Net(ResidualBlock):
    """1x1 convolution, 3x3 convolutions of slices that feed one another, 1x1 convolution, shortcut.

    The last slice has no convolution. In a block that changes the shape, slices do not feed one
    another, and the last one is averaged over 3x3 pixels (as in the published code and in timm).

    Attributes:
        bottleneck_ratio: Output channels as a multiple of the width that `base_width` refers to.
        scale: Number of slices, s in the paper.
        base_width: Channels of a slice where that width is 64, as in the name Res2Net-50 (26w, 4s).
    """

    op: Literal["res2net"] = "res2net"
    bottleneck_ratio: Ratio = 4
    scale: Annotated[int, Field(ge=2, le=16, strict=True)] = 4
    base_width: Annotated[int, Field(ge=1, le=1024, strict=True)] = 26
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **ResidualBlock.context,
        "bottleneck_ratio": ("channels", "base_width"),
        "base_width": ("channels", "bottleneck_ratio"),
    }

    coupled: ClassVar[tuple[tuple[str, str], ...]] = (("bottleneck_ratio", "base_width"),)

    def slice_channels(self) -> int:
        """Return the number of channels of a slice."""
        return _slice(self.channels, self.bottleneck_ratio, self.base_width)

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        width, act = self.slice_channels(), self.activation
        mid = width * self.scale
        branch: Parts = [
            ("reduce", pointwise(in_channels, mid, groups=1, activation=act, rules=rules)),
            ("middle", self._slices(in_channels, width, rules)),
            *self._squeeze_excite("middle", mid, in_channels),
            ("expand", pointwise(mid, self.channels, groups=1, activation=None, rules=rules)),
            *self._squeeze_excite("end", self.channels, in_channels),
        ]
        return self._add_shortcut(branch, in_channels, rules)

    def _slices(self, in_channels: int, width: int, rules: Rules) -> Slices:
        conv = dense(
            width,
            width,
            kernel=3,
            stride=self.stride,
            activation=self.activation,
            rules=rules,
        )
        convs: Parts = [(str(i), conv) for i in range(self.scale - 1)]
        if self.stride > 1 or in_channels != self.channels:
            pool = Pool("average", 3, self.stride, (1, 1, 1, 1), count_padding=True)
            return Slices((*convs, ("last", pool)), (width,) * self.scale)
        cascade = Cascade(tuple(convs), (width,) * (self.scale - 1))
        return Slices((("convs", cascade), ("last", Seq(()))), (width * (self.scale - 1), width))

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`.

        The base width takes up what the bottleneck ratio does, as far as it can.
        """
        if name not in ("bottleneck_ratio", "base_width"):
            return super().canonical_value(name, in_channels)
        ratio, base = self._canonical_width()
        return ratio if name == "bottleneck_ratio" else base

    def effect(self, name: str, in_channels: int) -> Hashable:
        """See `Block.effect`."""
        if name in ("bottleneck_ratio", "base_width"):
            return self.slice_channels()
        return super().effect(name, in_channels)

    def _canonical_width(self) -> tuple[float, int]:
        """Return the ratio and the base width that stand for all with as wide slices.

        It is the usual ratio, if some base width suits it, and the smallest such base width.
        """
        width, usual = self.slice_channels(), float(type(self).bottleneck_ratio)
        for base in range(1, 1025):
            found = _slice(self.channels, usual, base)
            if found == width:
                return int(usual), base
            if found > width:
                break
        ratio = shortest_binary(
            1 / LARGEST,
            LARGEST,
            lambda ratio: ratio > 0 and _slice(self.channels, ratio, self.base_width) == width,
        )
        return ratio, self.base_width


def _slice(channels: int, ratio: float, base_width: int) -> int:
    return max(1, int(int(channels / ratio) * base_width / 64))
