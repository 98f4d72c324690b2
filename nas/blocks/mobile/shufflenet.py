"""The blocks of ShuffleNet (Zhang et al. 2018) and ShuffleNetV2 (Ma et al. 2018)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Groups, Kernels, Ratio
from nas.blocks.parts import (
    Parts,
    Rules,
    Widening,
    activated,
    depthwise,
    pointwise,
    split_channels,
)
from nas.blocks.ratios import bottleneck_ratio, middle_channels
from nas.ir import ChannelShuffle, Concat, Node, Pool, Residual, Seq, Slices


@dataclass(frozen=True, config=CONFIG)
class ShuffleBlock(Block):
    """Grouped 1x1 convolution, channel shuffle, depthwise and grouped 1x1 convolution, shortcut.

    At stride 2, the input is averaged over 3x3 pixels and concatenated to the output of the branch,
    which has the remaining channels; at stride 1, it is added (Zhang et al. 2018, figure 2).

    Attributes:
        bottleneck_ratio: Output channels as a multiple of the channels in the middle.
        groups: Number of groups of the 1x1 convolutions, and of the shuffle.
        reduce_groups: Number of groups of the first 1x1 convolution. In the first block of the
            published networks it is 1.
        kernels: Kernel sizes of the (mixed) depthwise convolution.
        activation: Activation function after the first convolution and at the end.
    """

    op: Literal["shuffle"] = "shuffle"
    bottleneck_ratio: Ratio = 4
    groups: Groups = 3
    reduce_groups: Groups = 3
    kernels: Kernels = (3,)
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "channels": ("stride", "in_channels"),
        "bottleneck_ratio": ("channels", "groups"),
        "groups": ("channels", "bottleneck_ratio", "stride", "in_channels"),
        "reduce_groups": ("channels", "bottleneck_ratio", "groups", "in_channels"),
        "kernels": ("channels", "bottleneck_ratio", "groups"),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If a stride of 1 changes the number of channels, a stride of 2 does not
                raise it, or groups do not divide the channels.
        """
        mid, out = self._middle_channels(), self._branch_channels(in_channels)
        parts: Parts = [
            ("reduce", self._pointwise(in_channels, mid, self.reduce_groups, True, rules))
        ]
        if self.groups > 1:
            parts.append(("shuffle", ChannelShuffle(self.groups)))
        middle = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            activation=None,
            rules=rules,
        )
        parts += [
            ("depthwise", middle),
            ("expand", self._pointwise(mid, out, self.groups, False, rules)),
        ]
        joined: Node = Residual(tuple(parts))
        if self.stride > 1:
            pool = Pool("average", 3, self.stride, (1, 1, 1, 1), count_padding=True)
            joined = Concat((("shortcut", pool), ("branch", Seq(tuple(parts)))))
        return activated([("join", joined)], self.activation)

    def widened(self, wide: Widening, before: int, in_channels: int) -> ShuffleBlock:
        """See `Block.widened`; the nearest width is taken that the groups divide."""
        if self.stride == 1:
            return dataclasses.replace(self, channels=in_channels)
        wanted = self.channels * wide.factor
        widths = range(in_channels + 1, in_channels + 2 * math.ceil(wanted) + 2)
        for channels in sorted(widths, key=lambda width: abs(width - wanted)):
            mid = middle_channels(channels, self.bottleneck_ratio)
            if not any(c % self.groups for c in (channels, mid, channels - in_channels)):
                return dataclasses.replace(self, channels=channels)
        return super().widened(wide, before, in_channels)

    def _pointwise(self, inputs: int, outputs: int, groups: int, active: bool, rules: Rules) -> Seq:
        function = self.activation if active else None
        return pointwise(inputs, outputs, groups=groups, activation=function, rules=rules)

    def _middle_channels(self) -> int:
        mid = middle_channels(self.channels, self.bottleneck_ratio)
        if mid % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {mid} channels in the middle")
        return mid

    def _branch_channels(self, in_channels: int) -> int:
        if self.stride == 1:
            if in_channels != self.channels:
                raise ValueError(
                    f"a shuffle block of stride 1 keeps its {in_channels} channels; "
                    f"found {self.channels}"
                )
            return self.channels
        if self.channels <= in_channels:
            raise ValueError(
                f"a shuffle block of stride 2 has more channels than its {in_channels} input "
                f"channels; found {self.channels}"
            )
        return self.channels - in_channels

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        mid = self._middle_channels()
        if name == "channels":
            self._branch_channels(in_channels)
        if name == "groups":
            split_channels(self._branch_channels(in_channels), self.groups)
        if name == "reduce_groups":
            split_channels(in_channels, self.reduce_groups)
            split_channels(mid, self.reduce_groups)
        if name == "kernels":
            split_channels(mid, len(self.kernels))
        if name == "bottleneck_ratio":
            return bottleneck_ratio(self.channels, mid)
        return super().canonical_value(name, in_channels)


@dataclass(frozen=True, config=CONFIG)
class ShuffleV2Block(Block):
    """Half of the channels through 1x1, depthwise and 1x1 convolutions, concatenation, shuffle.

    At stride 1, the other half passes unchanged. At stride 2, both halves are computed from the
    whole input, one of them by a depthwise and a 1x1 convolution (Ma et al. 2018, figure 3).

    Attributes:
        kernels: Kernel sizes of the (mixed) depthwise convolutions.
        activation: Activation function after the 1x1 convolutions.
    """

    op: Literal["shuffle_v2"] = "shuffle_v2"
    kernels: Kernels = (3,)
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "channels": ("stride", "in_channels"),
        "kernels": ("channels", "stride", "in_channels"),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the number of channels is odd, or changes at stride 1.
        """
        half = self._half(in_channels)
        inputs = half if self.stride == 1 else in_channels
        branch: Parts = [
            ("reduce", self._pointwise(inputs, half, rules)),
            ("depthwise", self._depthwise(half, rules)),
            ("expand", self._pointwise(half, half, rules)),
        ]
        halves: Node
        if self.stride == 1:
            kept = (("kept", Seq(())), ("branch", Seq(tuple(branch))))
            halves = Slices(kept, (half, half))
        else:
            shortcut: Parts = [
                ("depthwise", self._depthwise(in_channels, rules)),
                ("project", self._pointwise(in_channels, half, rules)),
            ]
            halves = Concat((("shortcut", Seq(tuple(shortcut))), ("branch", Seq(tuple(branch)))))
        return Seq((("halves", halves), ("shuffle", ChannelShuffle(2))))

    def _half(self, in_channels: int) -> int:
        if self.channels % 2:
            raise ValueError(f"a shuffle block has two equal halves; {self.channels} is odd")
        if self.stride == 1 and in_channels != self.channels:
            raise ValueError(
                f"a shuffle block of stride 1 keeps its {in_channels} channels; "
                f"found {self.channels}"
            )
        return self.channels // 2

    def _pointwise(self, inputs: int, outputs: int, rules: Rules) -> Seq:
        return pointwise(inputs, outputs, groups=1, activation=self.activation, rules=rules)

    def _depthwise(self, channels: int, rules: Rules) -> Node:
        return depthwise(
            channels,
            kernels=self.kernels,
            stride=self.stride,
            activation=None,
            rules=rules,
        )

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        half = self._half(in_channels)
        if name == "kernels":
            least = half if self.stride == 1 else min(half, in_channels)
            split_channels(least, len(self.kernels))
        return super().canonical_value(name, in_channels)
