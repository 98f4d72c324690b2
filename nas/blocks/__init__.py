"""Block families, one a file. To add one: write its file, and name it in `BLOCKS`."""

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
"""The names of a family's fields, by family."""

DEFAULTS: dict[str, dict[str, Any]] = {
    op: {f.name: f.default for f in dataclasses.fields(kind) if f.name != "channels"}
    for op, kind in BLOCKS.items()
}
"""What a family's fields are when a document does not say, by family."""

__all__ = ["BLOCKS", "DEFAULTS", "FIELDS", "Block", "ConvBlock", "DSConv", "MBConv", "Rules"]
