"""The base class of all block families: fields, and their expansion into the layer tree."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from nas.blocks.fields import Channels, Skip, Stride
from nas.blocks.parts import Rules, Widening
from nas.ir import Node, Pad, Pool, Residual, Seq, Shape, Sum, end_shape

CONFIG = ConfigDict(extra="forbid")
B = TypeVar("B", bound="Block")


@dataclass(frozen=True, config=CONFIG)
class Block:
    """One block of a network.

    A subclass is a block family. It adds a literal field `op`, which names it in documents.

    Attributes:
        channels: Number of output channels.
        stride: Stride of the block, 1 or 2; the family decides which convolution has it.
        context: For each field whose value may have no effect, the same effect as another value, or
            be impossible: what that depends on, by the names of other fields and ``in_channels``.
        coupled: Pairs of fields of which one can have the effect of the other.
        repeatable: Whether a deeper network repeats the block; those that only reduce maps stay as
            they are in all networks around one, too.
        usual_se_ratio: SE ratio of a block one step around one without SE, if a family has it; by
            default that of MnasNet and EfficientNet.
        width: What decides how many channels the output has: the field alone (``own``), the input's
            (``input``), these and a growth rate (``growing``), or the ``sum`` of branches.
    """

    channels: Channels
    stride: Stride = 1
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "skip": ("stride", "channels", "in_channels")
    }
    coupled: ClassVar[tuple[tuple[str, str], ...]] = ()
    repeatable: ClassVar[bool] = True
    usual_se_ratio: ClassVar[float] = 0.25
    width: ClassVar[Literal["own", "input", "growing", "sum"]] = "own"

    @property
    def family(self) -> str:
        """Name of the block family, as documents give it under `op`."""
        return str(getattr(self, "op", type(self).__name__))

    @classmethod
    def trusted(cls: type[B], values: dict[str, Any]) -> B:
        """Return a block built from already validated fields, without validating them again.

        A space validates its choices once and then builds millions of blocks from them.

        Args:
            values: A value for every field except `op`.
        """
        block = object.__new__(cls)
        block.__dict__.update(values)
        return block

    @abstractmethod
    def expand(self, in_channels: int, rules: Rules) -> Node:
        """Return the block's layer tree for an input of `in_channels` channels.

        Raises:
            ValueError: If the fields are not compatible with the number of channels.
        """

    def widened(self: B, wide: Widening, before: int, in_channels: int) -> B:
        """Return the block of a wider or narrower network.

        Args:
            wide: Scales and rounds a number of channels.
            before: Number of the block's input channels in the network that it is of.
            in_channels: Number of its input channels in the scaled network.
        """
        del before, in_channels
        return dataclasses.replace(self, channels=wide(self.channels))

    def moved(self: B, before: int, in_channels: int) -> B:
        """Return the block as it stands after an input of other channels.

        Most blocks have channels of their own; those of some follow from their input's.

        Args:
            before: Number of the block's input channels so far.
            in_channels: Number of its input channels from now on.
        """
        del before, in_channels
        return self

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """Return the field's value in the block that stands for all with the same layer tree.

        A field without effect has its default. Of two fields that are coupled, one takes up what
        the other does, as far as it can.

        Args:
            name: Name of the field.
            in_channels: Number of the block's input channels.

        Raises:
            ValueError: If the value is not possible in this block.
        """
        value = getattr(self, name)
        if name == "skip" and not self._allows(value, in_channels):
            return getattr(type(self), name)
        return value

    def effect(self, name: str, in_channels: int) -> Hashable:
        """Return what a field contributes to the layer tree beside the other fields as they are.

        Two values of a field lead to the same layer tree exactly if their effects are equal.

        Args:
            name: Name of the field.
            in_channels: Number of the block's input channels.

        Raises:
            ValueError: If the value is not possible in this block.
        """
        effect: Hashable = self.canonical_value(name, in_channels)
        return effect

    def _with_skip(
        self, parts: Sequence[tuple[str, Node]], in_channels: int, skip: Skip, rules: Rules
    ) -> Seq | Residual | Sum:
        """Return the parts in sequence, with a skip connection if wanted and possible.

        MnasNet's space has pooling as a skip operation (Tan et al. 2019, section 4.1). The paper
        does not say which, and its published code has none. Here it is the average over 3x3 pixels
        with the block's stride, which therefore also spans a block of stride 2. Where a family
        allows an input of fewer channels than the output, it is added to the first of these.
        """
        if not skip or not self._allows(skip, in_channels):
            return Seq(tuple(parts))
        shortcut: list[tuple[str, Node]] = []
        if skip == "pool":
            shortcut.append(("pool", Pool("average", 3, self.stride, rules.padding)))
        if in_channels < self.channels:
            shortcut.append(("zeros", Pad(channels=self.channels - in_channels)))
        if not shortcut:
            return Residual(tuple(parts))
        children = (("branch", Seq(tuple(parts))), ("shortcut", Seq(tuple(shortcut))))
        return Sum(children, branch="branch")

    def _allows(self, skip: Skip, in_channels: int) -> bool:
        """Return whether the shapes allow a skip connection of this kind."""
        return in_channels == self.channels and (self.stride == 1 or skip == "pool")


@lru_cache(1 << 12)
def shape_after(block: Block, shape: Shape, rules: Rules) -> Shape:
    """Return the shape of a block's output for an input of `shape`.

    Raises:
        ValueError: If the block does not fit its input.
    """
    return end_shape(block.expand(shape[0], rules), shape)
