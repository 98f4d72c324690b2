"""A network described in one line, in the style of timm's arch strings."""

from __future__ import annotations

from typing import Any

from nas.blocks import Block
from nas.spec import NetworkSpec

_TYPES = {"mbconv": "ir", "dsconv": "ds", "conv": "cn"}


def arch_string(spec: NetworkSpec) -> str:
    """Return a network's blocks in one line: ``ds_k3_s1_c16 | ir_k3.5_s2_e6_c24_se0.25 | ...``.

    Blocks are separated by spaces and stages by bars. The keys are those of timm's arch strings:
    kernel sizes (kernel groups separated by dots), stride, expansion ratio, channels,
    squeeze-and-excitation ratio. The string is a summary for tables and figures; it does not
    describe the network completely.
    """
    return " | ".join(" ".join(_block(block) for block in stage) for stage in spec.stages)


def _block(block: Block) -> str:
    parts: list[Any] = [_TYPES.get(block.family, block.family)]
    if kernels := getattr(block, "kernels", ()):
        parts.append("k" + ".".join(map(str, kernels)))
    parts.append(f"s{block.stride}")
    if (ratio := getattr(block, "expansion", None)) is not None:
        parts.append(f"e{ratio:g}")
    parts.append(f"c{block.channels}")
    if ratio := getattr(block, "se_ratio", 0):
        parts.append(f"se{ratio:g}")
    return "_".join(parts)
