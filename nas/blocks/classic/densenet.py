"""The layers of DenseNet (Huang et al. 2017, DenseNet, section 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Ratio
from nas.blocks.parts import Parts, Rules, Widening, activated, batch_norm, dense
from nas.blocks.ratios import multiple, rounded_product
from nas.ir import Concat, Conv, Node, Pool, Seq


@dataclass(frozen=True, config=CONFIG)
class DenseLayer(Block):
    """BN, activation, 1x1 and 3x3 convolution, whose output is concatenated to the input.

    The output has `channels` channels: those of the input, and as many more as the growth rate.
    BN and an activation stand before both convolutions. The layer has stride 1.

    Attributes:
        bottleneck: Channels between the convolutions as a multiple of the growth rate.
        activation: Activation function.
    """

    op: Literal["dense"] = "dense"
    bottleneck: Ratio = 4
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "stride": ("channels", "in_channels"),
        "channels": ("in_channels",),
        "bottleneck": ("channels", "in_channels"),
    }
    width = "growing"

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the stride is not 1, or there are no more channels than before.
        """
        growth = self._growth(in_channels)
        mid = rounded_product(growth, self.bottleneck)
        first = dense(in_channels, mid, kernel=1, stride=1, activation=self.activation, rules=rules)
        new: Parts = [
            *_before(in_channels, self.activation, rules),
            ("reduce", first),
            ("conv", Conv(mid, growth, 3, padding=rules.padding)),
        ]
        return Concat((("kept", Seq(())), ("new", Seq(tuple(new)))))

    def widened(self, wide: Widening, before: int, in_channels: int) -> DenseLayer:
        """See `Block.widened`; the growth rate is scaled."""
        return dataclasses.replace(self, channels=in_channels + wide(self._growth(before)))

    def moved(self, before: int, in_channels: int) -> DenseLayer:
        """See `Block.moved`; the layer keeps its growth rate."""
        return dataclasses.replace(self, channels=in_channels + self._growth(before))

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        growth = self._growth(in_channels)
        if name == "bottleneck":
            mid = rounded_product(growth, self.bottleneck)
            return multiple(growth, mid, lambda ratio: rounded_product(growth, ratio))
        return super().canonical_value(name, in_channels)

    def _growth(self, in_channels: int) -> int:
        if self.stride != 1:
            raise ValueError("a dense layer has stride 1; use a transition block")
        if self.channels <= in_channels:
            raise ValueError(
                f"a dense layer adds channels to its {in_channels}; found {self.channels}"
            )
        return self.channels - in_channels


@dataclass(frozen=True, config=CONFIG)
class Transition(Block):
    """BN, activation, 1x1 convolution, and at stride 2, average pooling over 2x2 pixels.

    Attributes:
        activation: Activation function.
    """

    op: Literal["transition"] = "transition"
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    repeatable: ClassVar[bool] = False

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        parts = [
            *_before(in_channels, self.activation, rules),
            ("conv", Conv(in_channels, self.channels)),
        ]
        if self.stride > 1:
            parts.append(("pool", Pool("average", self.stride, self.stride, (0, 0, 0, 0))))
        return Seq(tuple(parts))

    def moved(self, before: int, in_channels: int) -> Transition:
        """See `Block.moved`; the share of the channels that are left stays."""
        channels = max(1, self.channels * in_channels // before)
        return dataclasses.replace(self, channels=channels)


def _before(channels: int, function: str, rules: Rules) -> Parts:
    """Return the normalization and the activation that stand before a convolution."""
    return list(activated([("norm", batch_norm(channels, rules))], function).children)
