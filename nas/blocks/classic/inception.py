"""The Inception module (Szegedy et al. 2015, GoogLeNet, figure 2b), with BN."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName, Channels, Kernel
from nas.blocks.parts import Rules, Widening, dense, pointwise
from nas.ir import Concat, Node, Pool, Seq

Four = Annotated[tuple[Channels, ...], Field(min_length=4, max_length=4)]
Two = Annotated[tuple[Channels, ...], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, config=CONFIG)
class Inception(Block):
    """Four branches side by side, concatenated; the block has stride 1.

    The branches are a 1x1 convolution; a 1x1 and a dense convolution; the same with another kernel;
    and maximum pooling over 3x3 pixels with a 1x1 convolution. BN and an activation follow every
    convolution.

    Attributes:
        branches: Output channels of the branches, in that order; `channels` is their sum.
        reduced: Channels between the two convolutions of the second and of the third branch.
        kernels: Kernel sizes of the second and of the third branch. In torchvision's GoogLeNet,
            both are 3, in the paper's, 3 and 5.
        activation: Activation function.
    """

    op: Literal["inception"] = "inception"
    branches: Four = (64, 128, 32, 32)
    reduced: Two = (96, 16)
    kernels: Annotated[tuple[Kernel, ...], Field(min_length=2, max_length=2)] = (3, 5)
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "stride": ("channels", "branches"),
        "channels": ("branches",),
        "branches": ("channels",),
    }
    width = "sum"

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the stride is not 1, or the branches have another number of channels.
        """
        self._check()
        act = self.activation

        def one(channels: int) -> Seq:
            return pointwise(in_channels, channels, groups=1, activation=act, rules=rules)

        def two(index: int) -> Seq:
            mid, out = self.reduced[index], self.branches[index + 1]
            last = dense(
                mid, out, kernel=self.kernels[index], stride=1, activation=act, rules=rules
            )
            return Seq((("reduce", one(mid)), ("conv", last)))

        pooled = Seq((("pool", Pool("max", 3)), ("project", one(self.branches[3]))))
        return Concat(
            (("one", one(self.branches[0])), ("two", two(0)), ("three", two(1)), ("pool", pooled))
        )

    def widened(self, wide: Widening, before: int, in_channels: int) -> Inception:
        """See `Block.widened`; every branch is scaled."""
        branches, reduced = tuple(map(wide, self.branches)), tuple(map(wide, self.reduced))
        return dataclasses.replace(self, channels=sum(branches), branches=branches, reduced=reduced)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        self._check()
        return super().canonical_value(name, in_channels)

    def _check(self) -> None:
        if self.stride != 1:
            raise ValueError("an inception module has stride 1; put a pool block before it")
        if sum(self.branches) != self.channels:
            raise ValueError(
                f"the branches of an inception module have {sum(self.branches)} channels "
                f"altogether; found {self.channels}"
            )
