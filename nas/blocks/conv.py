"""The plain convolution block, as in the search space of MnasNet (Tan et al. 2019, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Kernels, Skip, later
from nas.blocks.parts import Rules, biased, dense
from nas.ir import LocalResponseNorm, Node


@dataclass(frozen=True, config=CONFIG)
class ConvBlock(Block):
    """A dense convolution, BN and an activation, optionally with a skip connection.

    Attributes:
        kernels: Exactly one kernel size; a tuple because all families share this field.
        activation: Activation function after the convolution.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
        norm: ``batch``; ``none``, with which the convolution has a bias (VGG); or ``response``:
            a bias, and local response normalization after the activation (Krizhevsky et al. 2012,
            AlexNet, section 3.3; GoogLeNet as published), with Caffe's constants.
    """

    op: Literal["conv"] = "conv"
    kernels: Kernels = (3,)
    activation: ActivationName = "relu"
    skip: Skip = False
    norm: Annotated[Literal["batch", "none", "response"], later("batch")] = "batch"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {**Block.context, "kernels": ()}

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If there is more than one kernel size.
        """
        make = dense if self.norm == "batch" else biased
        conv = make(
            in_channels,
            self.channels,
            kernel=self._kernel(),
            stride=self.stride,
            activation=self.activation,
            rules=rules,
        )
        parts = [*conv.children]
        if self.norm == "response":
            parts.append(("response", LocalResponseNorm()))
        return self._with_skip(parts, in_channels, self.skip, rules)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "kernels":
            self._kernel()
        return super().canonical_value(name, in_channels)

    def _kernel(self) -> int:
        if len(self.kernels) != 1:
            raise ValueError(f"a plain convolution has one kernel size; found {list(self.kernels)}")
        return self.kernels[0]
