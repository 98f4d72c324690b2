"""The canonical form of blocks: blocks with equal layer trees have one and the same.

A value may have no effect (groups of an expansion layer that does not exist) or the effect of
another (a ratio that is rounded to as many channels). Networks that differ in nothing else are the
same, have the same hash, and count once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from nas.blocks import DEFAULTS
from nas.blocks.base import Block
from nas.blocks.dsconv import DSConv
from nas.blocks.mbconv import MBConv
from nas.blocks.mobile.fused import FusedMBConv
from nas.blocks.mobile.universal import EXPANSION_DIVISOR, UniversalBlock, universal_expanded
from nas.blocks.parts import expanded
from nas.blocks.ratios import multiple

_SHARED = [f.name for f in dataclasses.fields(DSConv) if f.name != "op"]  # MBConv has them, too


def equivalents(block: Block, in_channels: int) -> tuple[Block, ...]:
    """Return the block as every family can build it, the canonical one first.

    A depthwise separable convolution without activation function is an inverted bottleneck without
    expansion layer. A universal inverted bottleneck with its middle kernels only is an inverted
    bottleneck without squeeze-and-excitation, and one without any kernels is a fused inverted
    bottleneck with a 1x1 kernel. No other families overlap.
    """
    others = _EQUIVALENTS.get(type(block))
    return others(block, in_channels) if others else (block,)


def _of_separable(block: DSConv, in_channels: int) -> tuple[Block, ...]:
    if block.activation != "identity" or in_channels % block.group_width:
        return (block,)
    values = {name: getattr(block, name) for name in _SHARED}
    return (block, MBConv.trusted({**values, "expansion": 1, "expand_groups": 1}))


def _of_bottleneck(block: MBConv, in_channels: int) -> tuple[Block, ...]:
    if not block.expands(in_channels):
        if block.activation != "identity":
            return (block,)
        return (DSConv.trusted({name: getattr(block, name) for name in _SHARED}), block)
    mid = block.middle_channels(in_channels)
    plain = not block.se_ratio and block.group_width == block.expand_groups == 1
    if not plain or block.project_groups != 1 or mid % EXPANSION_DIVISOR:
        return (block,)
    for name in ("split", "dilated"):
        if block.canonical_value(name, in_channels) != getattr(MBConv, name):
            return (block,)
    return (block, _universal(block, block.kernels, mid, in_channels))


def _of_fused(block: FusedMBConv, in_channels: int) -> tuple[Block, ...]:
    mid = expanded(in_channels, block.expansion)
    if block.kernel != 1 or block.se_ratio or mid % EXPANSION_DIVISOR:
        return (block,)
    return (block, _universal(block, (), mid, in_channels))


def _of_universal(block: UniversalBlock, in_channels: int) -> tuple[Block, ...]:
    if block.start_kernels or block.end_kernels:
        return (block,)
    mid = block.middle_channels(in_channels)
    values = {name: getattr(block, name) for name in _COMMON}
    if not block.kernels:
        ratio = multiple(in_channels, mid, partial(expanded, in_channels))
        fused = {**DEFAULTS["fused"], **values, "kernel": 1, "expansion": ratio}
        return (FusedMBConv.trusted(fused), block)
    inverted = {**DEFAULTS["mbconv"], **values, "kernels": block.kernels}
    ratio = MBConv.trusted(inverted).expansion_to(in_channels, mid)
    return (MBConv.trusted({**inverted, "expansion": ratio}), block)


def _universal(block: MBConv | FusedMBConv, kernels: Any, mid: int, in_channels: int) -> Block:
    values = {name: getattr(block, name) for name in _COMMON}
    ratio = multiple(in_channels, mid, partial(universal_expanded, in_channels))
    return UniversalBlock.trusted(
        {**DEFAULTS["universal"], **values, "kernels": kernels, "expansion": ratio}
    )


_COMMON = ("channels", "stride", "activation", "skip")
_EQUIVALENTS: dict[type[Block], Callable[[Any, int], tuple[Block, ...]]] = {
    DSConv: _of_separable,
    MBConv: _of_bottleneck,
    FusedMBConv: _of_fused,
    UniversalBlock: _of_universal,
}


@lru_cache(1 << 14)
def canonical_block(block: Block, in_channels: int) -> Block:
    """Return the block that stands for all blocks with the same layer tree.

    Raises:
        ValueError: If the block is not compatible with its input channels.
    """
    first = equivalents(block, in_channels)[0]
    names = (f.name for f in dataclasses.fields(first) if f.name != "op")
    return first.trusted({name: first.canonical_value(name, in_channels) for name in names})
