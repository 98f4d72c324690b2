"""The Ghost bottleneck (Han et al. 2020, GhostNet, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels, Ratio, SERatio
from nas.blocks.parts import (
    Parts,
    Rules,
    depthwise,
    make_divisible,
    pointwise,
    squeeze_excite,
)
from nas.blocks.ratios import multiple, share
from nas.ir import Concat, Node, Residual, Seq, Sum

_DIVISOR = 4  # of expanded and squeezed channels, as in the published code


@dataclass(frozen=True, config=CONFIG)
class GhostBlock(Block):
    """Two Ghost modules, with a strided depthwise convolution and SE between them, and a shortcut.

    A Ghost module computes half of its channels by a 1x1 convolution, and the other half from these
    by a 3x3 depthwise convolution. Where the shape changes, the shortcut is a depthwise and a 1x1
    convolution. The second module and the sum have no activation.

    Attributes:
        kernels: Kernel sizes of the (mixed) depthwise convolutions between the modules and in the
            shortcut.
        expansion: Channels between the modules as a multiple of the input channels, rounded to a
            multiple of 4.
        se_ratio: Squeezed channels of SE as a fraction of the channels between the modules, rounded
            to a multiple of 4; 0 for no SE. Its gate is a hard sigmoid.
        activation: Activation function of the first module, and inside SE.
    """

    op: Literal["ghost"] = "ghost"
    kernels: Kernels = (3,)
    expansion: Ratio = 3
    se_ratio: SERatio = 0
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "channels": (),
        "expansion": ("in_channels",),
        "se_ratio": ("expansion", "in_channels"),
        "kernels": ("stride", "channels", "in_channels", "expansion"),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the number of output channels is odd, or a kernel group would be left
                without channels.
        """
        mid = _middle(in_channels, self.expansion)
        parts: Parts = [("ghost1", _ghost(in_channels, mid, self.activation, rules))]
        if self.stride > 1:
            parts.append(("depthwise", self._depthwise(mid, rules)))
        if self.se_ratio:
            reduced = make_divisible(mid * self.se_ratio, _DIVISOR)
            parts.append(("se", squeeze_excite(mid, reduced, self.activation, "hard_sigmoid")))
        parts.append(("ghost2", _ghost(mid, self.channels, None, rules)))
        if self._keeps_shape(in_channels):
            return Residual(tuple(parts))
        shortcut: Parts = [
            ("depthwise", self._depthwise(in_channels, rules)),
            (
                "project",
                pointwise(in_channels, self.channels, groups=1, activation=None, rules=rules),
            ),
        ]
        return Sum(
            (("branch", Seq(tuple(parts))), ("shortcut", Seq(tuple(shortcut)))), branch="branch"
        )

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        mid = _middle(in_channels, self.expansion)
        if name == "channels" and self.channels % 2:
            raise ValueError(_odd(self.channels))
        if name == "expansion":
            return multiple(in_channels, mid, partial(_middle, in_channels))
        if name == "se_ratio" and self.se_ratio:
            reduced = make_divisible(mid * self.se_ratio, _DIVISOR)
            return share(mid, reduced, lambda r: make_divisible(mid * r, _DIVISOR), margin=8)
        if name == "kernels":
            return self._canonical_kernels(in_channels, mid)
        return super().canonical_value(name, in_channels)

    def _canonical_kernels(self, in_channels: int, mid: int) -> tuple[int, ...]:
        if self._keeps_shape(in_channels):
            return type(self).kernels
        least = min(in_channels, mid) if self.stride > 1 else in_channels
        if len(self.kernels) > least:
            raise ValueError(f"{len(self.kernels)} kernel groups for {least} channels")
        return self.kernels

    def _keeps_shape(self, in_channels: int) -> bool:
        return self.stride == 1 and in_channels == self.channels

    def _depthwise(self, channels: int, rules: Rules) -> Node:
        return depthwise(
            channels,
            kernels=self.kernels,
            stride=self.stride,
            activation=None,
            rules=rules,
        )


@lru_cache(1 << 12)
def _ghost(in_channels: int, out_channels: int, activation: str | None, rules: Rules) -> Seq:
    """Return a Ghost module."""
    if out_channels % 2:
        raise ValueError(_odd(out_channels))
    half = out_channels // 2
    cheap = depthwise(
        half,
        kernels=(3,),
        stride=1,
        activation=activation,
        rules=rules,
    )
    primary = pointwise(in_channels, half, groups=1, activation=activation, rules=rules)
    return Seq((("primary", primary), ("ghosts", Concat((("kept", Seq(())), ("cheap", cheap))))))


def _odd(channels: int) -> str:
    return f"a Ghost module computes half of its channels; {channels} is odd"


def _middle(in_channels: int, ratio: float) -> int:
    return make_divisible(in_channels * ratio, _DIVISOR)
