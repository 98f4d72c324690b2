"""Pooling as a block, such as the one after ResNet's stem (He et al. 2016, table 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import AnyKernel, Pixels
from nas.blocks.parts import Rules, Widening
from nas.ir import Node, Pool, Seq
from nas.units import number_of


@dataclass(frozen=True, config=CONFIG)
class PoolBlock(Block):
    """Maximum or average pooling of every channel; it has as many channels as its input.

    An average counts the pixels of the image only, not those of the padding.

    Attributes:
        kind: ``max`` or ``average``.
        kernel: Pixels along a side of the window, 1 to 13.
        padding: Pixels of padding on each side, fewer than `kernel`; None for the network's rule.
        ceil: Whether a last window that fits in only in part counts, too.
    """

    op: Literal["pool"] = "pool"
    kind: Literal["max", "average"] = "max"
    kernel: AnyKernel = 3
    padding: Pixels | None = None
    ceil: bool = False
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kernel": ("padding", "channels", "in_channels")
    }
    repeatable: ClassVar[bool] = False
    width = "input"

    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree; see `Block.expand`.

        Raises:
            ValueError: If the number of channels is not that of the input, or a window could lie in
                the padding alone.
        """
        self._check(in_channels)
        pixels = self.padding
        padding = rules.padding if pixels is None else (pixels,) * 4
        return Seq((("pool", Pool(self.kind, self.kernel, self.stride, padding, self.ceil)),))

    def widened(self, wide: Widening, before: int, in_channels: int) -> PoolBlock:
        """See `Block.widened`; pooling keeps the channels of its input."""
        return dataclasses.replace(self, channels=in_channels)

    def moved(self, before: int, in_channels: int) -> PoolBlock:
        """See `Block.moved`; pooling keeps the channels of its input."""
        return dataclasses.replace(self, channels=in_channels)

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "kernel":
            self._check(in_channels)
        return super().canonical_value(name, in_channels)

    def _check(self, in_channels: int) -> None:
        if self.channels != in_channels:
            raise ValueError(
                f"pooling keeps its {number_of(in_channels, 'channel')}; found {self.channels}"
            )
        if self.padding is not None and self.padding >= self.kernel:
            raise ValueError(
                f"a padding of {number_of(self.padding, 'pixel')} is not smaller than the window "
                f"of {self.kernel}"
            )
