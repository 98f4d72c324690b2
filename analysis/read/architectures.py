"""Networks as lines of text, similar to timm's arch strings: ``ds_k3_s1_c16 | ir_k3.5_s2_e6_c24``.

Stages are separated by ``|`` and blocks by spaces. A block is its kind and parts of a letter and a
number: k kernel sizes, s stride, e expansion ratio, c output channels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from analysis.errors import AnalysisError, check_columns
from analysis.schema import ARCHITECTURE

_PART = re.compile(r"([a-z]+)([0-9]{1,9}(?:\.[0-9]{1,9})*)?")


@dataclass(frozen=True)
class BlockView:
    """The properties of a block that statistics and figures need.

    Attributes:
        kind: Kind of block: ``ir``, ``ds``, ``cn``, ...
        stage: Number of its stage, from 0.
        kernels: Kernel sizes, one per kernel group.
        channels: Output channels.
        stride: Stride, 1 or 2.
        expansion: Expanded channels as a multiple of the input channels; 1 without expansion.
    """

    kind: str
    stage: int
    kernels: tuple[int, ...]
    channels: int
    stride: int
    expansion: float

    @property
    def mean_kernel(self) -> float:
        """Mean kernel size over the groups."""
        return sum(self.kernels) / len(self.kernels)


MOST_BLOCKS = 1_000
MOST_STAGES = 64  # a figure has a panel for each


@lru_cache(maxsize=100_000)
def parse_architecture(text: str) -> tuple[BlockView, ...]:
    """Return the blocks of a network; parts of other letters are ignored.

    Raises:
        AnalysisError: If there is no block, a block has no channels, or a part is not letters
            followed by a number.
    """
    blocks = [
        _block(word, stage, text)
        for stage, words in enumerate(text.split("|"))
        for word in words.split()
    ]
    if not blocks:
        raise AnalysisError(f"'{text}' is not a network: it has no block")
    stages = blocks[-1].stage + 1
    if len(blocks) > MOST_BLOCKS or stages > MOST_STAGES:
        raise AnalysisError(
            f"'{text[:60]}' has {len(blocks):,} blocks in {stages:,} stages; networks of up to "
            f"{MOST_BLOCKS:,} blocks in {MOST_STAGES} stages are read"
        )
    return tuple(blocks)


def _block(word: str, stage: int, text: str) -> BlockView:
    kind, *parts = word.split("_")
    values: dict[str, str] = {}
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise AnalysisError(
                f"cannot parse '{part}' in '{text[:60]}'; parts are written like k3.5, s2 or c24"
            )
        values[match[1]] = match[2] or ""
    if not values.get("c", "").isdigit():
        raise AnalysisError(f"the block '{word}' in '{text[:60]}' has no channels, such as c24")
    try:
        return BlockView(
            kind=kind,
            stage=stage,
            # Blocks of other families may have no kernels; they count as 1x1.
            kernels=tuple(int(size) for size in (values.get("k") or "1").split(".")),
            channels=int(values["c"]),
            stride=int(values.get("s") or "1"),
            expansion=float(values.get("e") or "1"),
        )
    except ValueError as error:  # a stride of 1.5, an expansion of 6.1.2
        raise AnalysisError(f"cannot parse '{word}' in '{text[:60]}': {error}") from None


def architectures(table: pd.DataFrame) -> list[tuple[BlockView, ...]]:
    """Return the networks of a table in row order.

    Raises:
        AnalysisError: If the table has no architecture column, or a line cannot be parsed.
    """
    check_columns(table, [ARCHITECTURE])
    return [parse_architecture(str(text)) for text in table[ARCHITECTURE]]
