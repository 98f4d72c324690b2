"""Networks as lines of text, similar to timm's arch strings: ``ds_k3_s1_c16 | ir_k3.5_s2_e6_c24``.

Stages are separated by ``|`` and blocks by spaces. A block is its kind and parts of a letter and a
number: k kernel sizes, s stride, e expansion ratio, c output channels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

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


USUAL = "ir"
"""Kind of block that goes without saying."""
_LONGEST = 400  # characters of a short form


def short_form(text: str) -> str:
    """Return a network stage by stage: ``ds k3 c16 | e6 k3.5.7 c40 se x4 | ...``.

    Blocks that follow each other and differ in nothing but stride are written once, with their
    number: e is the expansion ratio, k the kernel sizes, c the output channels where they change,
    and se stands for squeeze-and-excitation. The kind of block is left out where it is `USUAL`.
    Text that is no line of blocks, such as the name of a network without a spec, stays as it is.
    """
    stages, channels = [], ""
    for words in text.split("|"):
        blocks = []
        for parts, group in groupby(_short_parts(word) for word in words.split()):
            shown = [part for part in parts if part != channels] or list(parts)
            channels = next((part for part in parts if part[0] == "c" and part[1:].isdigit()), "")
            number = len(list(group))
            blocks.append(" ".join([*shown, f"x{number}"] if number > 1 else shown))
        stages.append(", ".join(blocks))
    short = " | ".join(stages)
    return short if len(short) <= _LONGEST else f"{short[: _LONGEST - 4]} ..."


def _short_parts(word: str) -> tuple[str, ...]:
    """Return what a short form says of a block; the word itself if it is none."""
    kind, *parts = word.split("_")
    values = {m[1]: m[2] or "" for part in parts if (m := _PART.fullmatch(part))}
    if not values.get("c"):
        return (word,)
    shown = [f"{key}{values[key]}" for key in "ekc" if values.get(key)]
    shown = [part for part in shown if part != "e1"]
    return (*([] if kind == USUAL else [kind]), *shown, *(["se"] if values.get("se") else []))


def architectures(table: pd.DataFrame) -> list[tuple[BlockView, ...]]:
    """Return the networks of a table in row order.

    Raises:
        AnalysisError: If the table has no architecture column, or a line cannot be parsed.
    """
    check_columns(table, [ARCHITECTURE])
    return [parse_architecture(str(text)) for text in table[ARCHITECTURE]]
