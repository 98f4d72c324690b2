"""The Fire module (Iandola et al. 2016, SqueezeNet, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import ActivationName
from nas.blocks.parts import Parts, Rules, biased
from nas.blocks.ratios import rounded_product, share
from nas.ir import Concat, Node, Seq


@dataclass(frozen=True, config=CONFIG)
class Fire(Block):
    """A 1x1 convolution that squeezes, then a 1x1 and a 3x3 convolution side by side, concatenated.

    The convolutions have biases, activations, and no BN. The block has stride 1.

    Attributes:
        squeeze_ratio: Squeezed channels as a fraction of the output channels, of which the 1x1 and
            the 3x3 convolution each compute one half.
        activation: Activation function.
    """

    op: Literal["fire"] = "fire"
    squeeze_ratio: Annotated[float, Field(gt=0, le=1)] = 0.125
    activation: ActivationName = "relu"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "stride": ("channels",),
        "channels": (),
        "squeeze_ratio": ("channels",),
    }

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the stride is not 1, or the number of channels is odd.
        """
        self._check()
        squeezed, half = self._squeezed(self.squeeze_ratio), self.channels // 2

        def conv(inputs: int, outputs: int, kernel: int) -> Seq:
            return biased(
                inputs,
                outputs,
                kernel=kernel,
                stride=1,
                activation=self.activation,
                rules=rules,
            )

        halves: Parts = [("one", conv(squeezed, half, 1)), ("three", conv(squeezed, half, 3))]
        return Seq((("squeeze", conv(in_channels, squeezed, 1)), ("expand", Concat(tuple(halves)))))

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        self._check()
        if name == "squeeze_ratio":
            return share(self.channels, self._squeezed(self.squeeze_ratio), self._squeezed)
        return super().canonical_value(name, in_channels)

    def _squeezed(self, ratio: float) -> int:
        return rounded_product(self.channels, ratio)

    def _check(self) -> None:
        if self.stride != 1:
            raise ValueError("a fire module has stride 1; put a pool block before it")
        if self.channels % 2:
            raise ValueError(f"a fire module has two equal halves; {self.channels} is odd")
