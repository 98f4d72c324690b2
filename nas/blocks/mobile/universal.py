"""The universal inverted bottleneck block (Qin et al. 2024, MobileNetV4, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, OptionalKernels, Ratio, Skip
from nas.blocks.parts import Parts, Rules, depthwise, make_divisible, pointwise
from nas.blocks.ratios import multiple
from nas.ir import Node

EXPANSION_DIVISOR = 8
_STRIDED = ("depthwise", "start", "end")  # the first that there is has the stride


@dataclass(frozen=True, config=CONFIG)
class UniversalBlock(Block):
    """1x1 expansion and projection, with optional (mixed) depthwise convolutions around them.

    Depthwise convolutions may stand before the expansion (`start_kernels`), between expansion and
    projection (`kernels`), and after the projection (`end_kernels`). With both of the first, it is
    the paper's ExtraDW; with the second only, an inverted bottleneck; with the first only, a block
    like ConvNeXt's; with none, a feed-forward block. The one between has the stride, or else the
    first there is; without any, the expansion has it. BN follows every convolution; only the
    expansion and the depthwise convolution after it are followed by an activation.

    Attributes:
        start_kernels: Kernel sizes of the kernel groups before the expansion; none for no layer.
        kernels: Kernel sizes between expansion and projection; none for no layer.
        end_kernels: Kernel sizes after the projection; none for no layer.
        expansion: Expansion ratio. Expanded channels are rounded to a multiple of 8.
        activation: Activation function.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
    """

    op: Literal["universal"] = "universal"
    start_kernels: OptionalKernels = ()
    kernels: OptionalKernels = (3,)
    end_kernels: OptionalKernels = ()
    expansion: Ratio = 4
    activation: ActivationName = "relu"
    skip: Skip = True
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "expansion": ("in_channels",),
        "start_kernels": ("in_channels",),
        "kernels": ("in_channels", "expansion"),
        "end_kernels": ("channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If a kernel group would be left without channels.
        """
        mid, act = self.middle_channels(in_channels), self.activation
        kernels = (self.kernels, self.start_kernels, self.end_kernels)
        strided = next((name for name, found in zip(_STRIDED, kernels, strict=True) if found), "")

        def mixed(name: str, channels: int, kernels: tuple[int, ...], act: str | None) -> Node:
            stride = self.stride if name == strided else 1
            return depthwise(channels, kernels=kernels, stride=stride, activation=act, rules=rules)

        parts: Parts = []
        if self.start_kernels:
            parts.append(("start", mixed("start", in_channels, self.start_kernels, None)))
        expansion = pointwise(
            in_channels,
            mid,
            groups=1,
            activation=act,
            rules=rules,
            stride=1 if strided else self.stride,
        )
        parts.append(("expand", expansion))
        if self.kernels:
            parts.append(("depthwise", mixed("depthwise", mid, self.kernels, act)))
        projection = pointwise(mid, self.channels, groups=1, activation=None, rules=rules)
        parts.append(("project", projection))
        if self.end_kernels:
            parts.append(("end", mixed("end", self.channels, self.end_kernels, None)))
        return self._with_skip(parts, in_channels, self.skip, rules)

    def middle_channels(self, in_channels: int) -> int:
        """Return the number of channels between expansion and projection."""
        return universal_expanded(in_channels, self.expansion)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        mid = self.middle_channels(in_channels)
        if name == "expansion":
            return multiple(in_channels, mid, partial(universal_expanded, in_channels))
        widths = {"start_kernels": in_channels, "kernels": mid, "end_kernels": self.channels}
        if name in widths and len(getattr(self, name)) > widths[name]:
            raise ValueError(
                f"{name} has {len(getattr(self, name))} kernel groups for {widths[name]} channels"
            )
        return super().canonical_value(name, in_channels)


def universal_expanded(in_channels: int, ratio: float) -> int:
    """Return the number of expanded channels, a multiple of `EXPANSION_DIVISOR`."""
    return make_divisible(in_channels * ratio, EXPANSION_DIVISOR)
