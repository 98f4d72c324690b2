"""The block families, one per file. To add one, write its file and list it in `BLOCKS`."""

import dataclasses
from typing import Any

from nas.blocks.base import Block
from nas.blocks.classic import (
    ConvNeXtBlock,
    DarknetBlock,
    DenseLayer,
    Fire,
    Inception,
    SeparableConv,
    Transition,
    XceptionBlock,
)
from nas.blocks.conv import ConvBlock
from nas.blocks.dsconv import DSConv
from nas.blocks.mbconv import MBConv
from nas.blocks.mobile import (
    FusedMBConv,
    GhostBlock,
    RexBlock,
    ShuffleBlock,
    ShuffleV2Block,
    UniversalBlock,
)
from nas.blocks.parts import Rules
from nas.blocks.pool import PoolBlock
from nas.blocks.residual import (
    BasicBlock,
    Bottleneck,
    LinearBottleneck,
    Res2Net,
    SplitAttentionBlock,
)

BLOCKS: dict[str, type[Block]] = {
    "mbconv": MBConv,
    "dsconv": DSConv,
    "conv": ConvBlock,
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "linear_bottleneck": LinearBottleneck,
    "res2net": Res2Net,
    "split_attention": SplitAttentionBlock,
    "fused": FusedMBConv,
    "universal": UniversalBlock,
    "ghost": GhostBlock,
    "rex": RexBlock,
    "shuffle": ShuffleBlock,
    "shuffle_v2": ShuffleV2Block,
    "darknet": DarknetBlock,
    "xception": XceptionBlock,
    "separable": SeparableConv,
    "fire": Fire,
    "dense": DenseLayer,
    "transition": Transition,
    "inception": Inception,
    "convnext": ConvNeXtBlock,
    "pool": PoolBlock,
}
"""The block families, by the `op` of a block in a spec or a space."""
FIELDS: dict[str, frozenset[str]] = {
    op: frozenset(f.name for f in dataclasses.fields(kind)) for op, kind in BLOCKS.items()
}
"""Field names of every family."""

DEFAULTS: dict[str, dict[str, Any]] = {
    op: {f.name: f.default for f in dataclasses.fields(kind) if f.name != "channels"}
    for op, kind in BLOCKS.items()
}
"""Default values of every family's fields, for documents that leave them out."""

__all__ = [
    "BLOCKS",
    "DEFAULTS",
    "FIELDS",
    "BasicBlock",
    "Block",
    "Bottleneck",
    "ConvBlock",
    "ConvNeXtBlock",
    "DSConv",
    "DarknetBlock",
    "DenseLayer",
    "Fire",
    "FusedMBConv",
    "GhostBlock",
    "Inception",
    "LinearBottleneck",
    "MBConv",
    "PoolBlock",
    "Res2Net",
    "RexBlock",
    "Rules",
    "SeparableConv",
    "ShuffleBlock",
    "ShuffleV2Block",
    "SplitAttentionBlock",
    "Transition",
    "UniversalBlock",
    "XceptionBlock",
]
