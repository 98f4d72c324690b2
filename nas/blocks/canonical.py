"""The canonical form of blocks: blocks with equal layer trees have one and the same.

A value may have no effect (groups of an expansion layer that does not exist) or the effect of
another (a ratio that is rounded to as many channels). Networks that differ in nothing else are the
same, have the same hash, and count once.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from nas.blocks.base import Block
from nas.blocks.dsconv import DSConv
from nas.blocks.mbconv import MBConv

_SHARED = [f.name for f in dataclasses.fields(DSConv) if f.name != "op"]  # MBConv has them, too


def equivalents(block: Block, in_channels: int) -> tuple[Block, ...]:
    """Return the block as every family can build it, the canonical one first.

    A depthwise separable convolution without activation function is an inverted bottleneck without
    expansion layer. No other families overlap.
    """
    if getattr(block, "activation", None) != "identity":
        return (block,)
    if isinstance(block, MBConv) and not block.expands(in_channels):
        return (DSConv.trusted({name: getattr(block, name) for name in _SHARED}), block)
    if isinstance(block, DSConv) and in_channels % block.group_width == 0:
        values = {name: getattr(block, name) for name in _SHARED}
        return (block, MBConv.trusted({**values, "expansion": 1, "expand_groups": 1}))
    return (block,)


@lru_cache(1 << 14)
def canonical_block(block: Block, in_channels: int) -> Block:
    """Return the block that stands for all blocks with the same layer tree.

    Raises:
        ValueError: If the block is not compatible with its input channels.
    """
    first = equivalents(block, in_channels)[0]
    names = (f.name for f in dataclasses.fields(first) if f.name != "op")
    return first.trusted({name: first.canonical_value(name, in_channels) for name in names})
