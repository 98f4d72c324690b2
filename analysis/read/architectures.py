"""Networks as lines of text, after timm's arch strings: ``ds_k3_s1_c16 | ir_k3.5_s2_e6_c24``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from analysis.errors import AnalysisError, check_columns
from analysis.schema import ARCHITECTURE

_PART = re.compile(r"^([a-z]+)(\d+(?:\.\d+)*)?$")


@dataclass(frozen=True)
class BlockView:
    """One block, as far as pictures need it.

    Attributes:
        kind: ``ir``, ``ds``, ``cn``, ...
        stage: which it is of, from 0.
        kernels: sizes, one a group of channels.
        channels: output channels.
        stride: 1 or 2.
        expansion: expanded channels as a multiple of the input's; 1 where there is no expansion.
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


@lru_cache(maxsize=100_000)
def parse_architecture(text: str) -> tuple[BlockView, ...]:
    """Read a network's line; unknown parts of a block are passed over.

    Raises:
        AnalysisError: when a block has no channels, or a part is no letter with a number.
    """
    blocks = [
        _block(word, stage, text)
        for stage, words in enumerate(text.split("|"))
        for word in words.split()
    ]
    if not blocks:
        raise AnalysisError(f"'{text}' is no network: it has no block")
    return tuple(blocks)


def _block(word: str, stage: int, text: str) -> BlockView:
    kind, *parts = word.split("_")
    found: dict[str, str] = {}
    for part in parts:
        match = _PART.match(part)
        if match is None:
            raise AnalysisError(f"'{part}' in '{text[:60]}' is not understood; write k3.5, s2, c24")
        found[match[1]] = match[2] or ""
    if not found.get("c", "").isdigit():
        raise AnalysisError(f"the block '{word}' in '{text[:60]}' has no channels, as c24")
    # A block of another family may have no kernels; as a 1x1 it moves no mean kernel.
    kernels = tuple(int(size) for size in (found.get("k") or "1").split("."))
    return BlockView(
        kind, stage, kernels, int(found["c"]), int(found.get("s", "1")), float(found.get("e", "1"))
    )


def architectures(table: pd.DataFrame) -> list[tuple[BlockView, ...]]:
    """Return the networks of a table, in its rows' order.

    Raises:
        AnalysisError: when there is no such column, or a line cannot be read.
    """
    check_columns(table, [ARCHITECTURE])
    return [parse_architecture(str(text)) for text in table[ARCHITECTURE]]
