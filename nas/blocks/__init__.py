"""The block families, one per file. To add one, write its file and list it in `BLOCKS`."""

import dataclasses
from typing import Any

from nas.blocks.base import Block
from nas.blocks.conv import ConvBlock
from nas.blocks.dsconv import DSConv
from nas.blocks.mbconv import MBConv
from nas.blocks.parts import Rules

BLOCKS: dict[str, type[Block]] = {"mbconv": MBConv, "dsconv": DSConv, "conv": ConvBlock}
FIELDS: dict[str, frozenset[str]] = {
    op: frozenset(f.name for f in dataclasses.fields(kind)) for op, kind in BLOCKS.items()
}
"""Field names of every family."""

DEFAULTS: dict[str, dict[str, Any]] = {
    op: {f.name: f.default for f in dataclasses.fields(kind) if f.name != "channels"}
    for op, kind in BLOCKS.items()
}
"""Default values of every family's fields, for documents that leave them out."""

__all__ = ["BLOCKS", "DEFAULTS", "FIELDS", "Block", "ConvBlock", "DSConv", "MBConv", "Rules"]
