"""The basic residual block (He et al. 2016, ResNet, figure 5, left)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.parts import Parts, Rules, dense
from nas.blocks.residual.base import ResidualBlock
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions with BN, of which the first has the stride, and a shortcut.

    The activation follows the first convolution and the sum.
    """

    op: Literal["basic"] = "basic"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = ResidualBlock.context

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`."""
        first = dense(
            in_channels,
            self.channels,
            kernel=3,
            stride=self.stride,
            activation=self.activation,
            rules=rules,
        )
        second = dense(
            self.channels, self.channels, kernel=3, stride=1, activation=None, rules=rules
        )
        branch: Parts = [
            ("first", first),
            *self._squeeze_excite("middle", self.channels, in_channels),
            ("second", second),
            *self._squeeze_excite("end", self.channels, in_channels),
        ]
        return self._add_shortcut(branch, in_channels, rules)
