"""Families of mobile blocks around depthwise or cheap convolutions."""

from nas.blocks.mobile.fused import FusedMBConv
from nas.blocks.mobile.ghost import GhostBlock
from nas.blocks.mobile.rexnet import RexBlock
from nas.blocks.mobile.shufflenet import ShuffleBlock, ShuffleV2Block
from nas.blocks.mobile.universal import UniversalBlock

__all__ = [
    "FusedMBConv",
    "GhostBlock",
    "RexBlock",
    "ShuffleBlock",
    "ShuffleV2Block",
    "UniversalBlock",
]
