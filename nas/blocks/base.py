"""What every block family is: fields, and their expansion into the layer tree."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from nas.blocks.fields import Channels, Stride
from nas.blocks.parts import Rules
from nas.ir import Node, Residual, Seq

CONFIG = ConfigDict(extra="forbid")
B = TypeVar("B", bound="Block")


@dataclass(frozen=True, config=CONFIG)
class Block:
    """One block of a network. Subclasses add a literal field `op`, their name in documents.

    Attributes:
        channels: output channels.
        stride: 1 or 2; where in the block it applies is the family's matter.
    """

    channels: Channels
    stride: Stride = 1

    @property
    def family(self) -> str:
        """The block family's name, which documents give as `op`."""
        return str(getattr(self, "op", type(self).__name__))

    @classmethod
    def trusted(cls: type[B], values: dict[str, Any]) -> B:
        """Build a block from all its fields, checked before, without checking them again.

        A space checks its choices once and then builds millions of blocks from them.
        """
        block = object.__new__(cls)
        block.__dict__.update(values)
        return block

    @abstractmethod
    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree for an input of `in_channels` channels.

        Raises:
            ValueError: when the fields do not fit the channels.
        """

    def _with_skip(
        self, parts: Sequence[tuple[str, Node]], in_channels: int, skip: bool
    ) -> Seq | Residual:
        """Add the input where the block asks for it and the shapes allow it."""
        if skip and self.stride == 1 and in_channels == self.channels:
            return Residual(tuple(parts))
        return Seq(tuple(parts))
