"""The block of ReXNet: an inverted bottleneck whose skip may widen (Han et al. 2021, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels, Ratio, SERatio, Skip, Split
from nas.blocks.parts import (
    Parts,
    Rules,
    activated,
    depthwise,
    pointwise,
    split_channels,
    squeeze_excite,
)
from nas.blocks.ratios import floored_product, multiple, rounded_product, share
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class RexBlock(Block):
    """1x1 expansion, (mixed) depthwise convolution, SE, linear 1x1 projection, skip.

    It differs from MBConv (Han et al. 2021, Rethinking Channel Dimensions for Efficient Model
    Design; clovaai/rexnet) in that expansion and depthwise convolution have activation functions of
    their own, the second of which follows SE; SE normalizes what it squeezes; and an input of fewer
    channels than the output is added to the first of these.

    Attributes:
        expansion: Expanded channels as a multiple of the input channels; 1 for no expansion.
        kernels: Kernel size of every kernel group, 1 to 5 groups.
        split: How channels are split among the kernel groups, ``equal`` or ``exponential``.
        se_ratio: Squeezed channels of SE as a fraction of the expanded ones, rounded down; 0 for no
            SE. Inside SE there is a ReLU.
        activation: Activation function after the expansion.
        depthwise_activation: Activation function after the depthwise convolution and SE.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
    """

    op: Literal["rex"] = "rex"
    expansion: Ratio = 6
    kernels: Kernels = (3,)
    split: Split = "equal"
    se_ratio: SERatio = 0
    activation: ActivationName = "swish"
    depthwise_activation: ActivationName = "relu6"
    skip: Skip = True
    usual_se_ratio: ClassVar[float] = 0.0834
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "expansion": ("in_channels",),
        "kernels": ("expansion", "in_channels"),
        "split": ("kernels", "expansion", "in_channels"),
        "se_ratio": ("expansion", "in_channels"),
        "activation": ("expansion",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If a kernel group would be left without channels.
        """
        mid = rounded_product(in_channels, self.expansion)
        parts: Parts = []
        if self.expansion != 1:
            parts.append(
                (
                    "expand",
                    pointwise(in_channels, mid, groups=1, activation=self.activation, rules=rules),
                )
            )
        middle = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            split=self.split,
            activation=None if self.se_ratio else self.depthwise_activation,
            rules=rules,
        )
        parts.append(("spatial", middle))
        if self.se_ratio:
            squeezed = floored_product(mid, self.se_ratio)
            parts.append(("se", squeeze_excite(mid, squeezed, "relu", normalized=rules)))
            parts += activated([], self.depthwise_activation).children
        parts.append(
            ("project", pointwise(mid, self.channels, groups=1, activation=None, rules=rules))
        )
        return self._with_skip(parts, in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        mid = rounded_product(in_channels, self.expansion)
        if name == "expansion":
            return self._canonical_expansion(in_channels, mid)
        if name == "activation" and self.expansion == 1:
            return type(self).activation
        if name in ("kernels", "split"):
            sizes = split_channels(mid, len(self.kernels), self.split)
            if name == "split" and sizes == split_channels(mid, len(self.kernels)):
                return "equal"
        if name == "se_ratio" and self.se_ratio:
            squeezed = floored_product(mid, self.se_ratio)
            return share(mid, squeezed, partial(floored_product, mid))
        return super().canonical_value(name, in_channels)

    def _canonical_expansion(self, in_channels: int, mid: int) -> float:
        """Return the simplest ratio with the same effect; 1 is no expansion."""
        if self.expansion == 1:
            return 1
        return multiple(
            in_channels,
            mid,
            lambda ratio: -1 if ratio == 1 else rounded_product(in_channels, ratio),
        )

    def _allows(self, skip: Skip, in_channels: int) -> bool:
        """Return whether the shapes allow a skip connection of this kind."""
        return in_channels <= self.channels and (self.stride == 1 or skip == "pool")
