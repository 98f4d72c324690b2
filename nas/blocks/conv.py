"""The plain convolution block."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels
from nas.blocks.parts import Rules, dense
from nas.ir import Node


@dataclass(frozen=True, config=CONFIG)
class ConvBlock(Block):
    """One dense convolution, BN, activation; optionally with a skip.

    Attributes:
        kernels: exactly one kernel size (a list, so that all families share the field).
        activation: after the convolution.
        skip: add the input where the shapes allow it.
    """

    op: Literal["conv"] = "conv"
    kernels: Kernels = (3,)
    activation: ActivationName = "relu"
    skip: bool = False

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """See `Block.expand`.

        Raises:
            ValueError: when several kernel sizes are asked for.
        """
        if len(self.kernels) != 1:
            raise ValueError(f"a plain conv has one kernel size, not {list(self.kernels)}")
        conv = dense(
            in_channels, self.channels, self.kernels[0], self.stride, self.activation, rules
        )
        return self._with_skip(conv.children, in_channels, self.skip)
