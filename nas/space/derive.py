"""Derived parametrizations, where a few numbers determine the width and depth of every stage."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import Field

from nas.blocks.fields import MAX_CHANNELS
from nas.space.plan import ValueSource
from nas.space.variables import Genotype

QUANTUM = 8  # widths are multiples of this


def regnet_stages(
    depth: int, w0: float, wa: float, wm: float
) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Return RegNet's stage widths and depths (Radosavovic et al. 2020, section 3.3, eq. 2 to 4).

    Block j has the width u_j = w0 + wa * j, quantized to w0 * wm^round(log_wm(u_j / w0)) and then
    to a multiple of 8. Consecutive blocks of equal width form a stage.

    Args:
        depth: Number of blocks.
        w0: Initial width, in channels.
        wa: Slope, in channels per block.
        wm: Width ratio between stages, above 1.

    Returns:
        Widths, depths, and whether every power of wm up to the largest gave a stage of its own.
    """
    powers = [round(math.log((w0 + wa * j) / w0) / math.log(wm)) for j in range(depth)]
    widths = [round(w0 * wm**p / QUANTUM) * QUANTUM for p in powers]
    unique = sorted(set(widths))
    depths = tuple(widths.count(width) for width in unique)
    return tuple(unique), depths, len(unique) == max(powers) + 1


class RegNetRule:
    """The rule of `regnet_stages` for a fixed number of stages.

    Attributes:
        kinds: Type of every parameter.
    """

    kinds: ClassVar[dict[str, Any]] = {
        "depth": Annotated[int, Field(ge=1, le=128)],
        "w0": Annotated[int, Field(ge=8, le=4096)],
        "wa": Annotated[float, Field(ge=0, le=4096)],
        "wm": Annotated[float, Field(gt=1, le=16)],
    }

    def __init__(self, sources: dict[str, ValueSource], stages: int) -> None:
        """Create the rule.

        Args:
            sources: Source of every parameter's value.
            stages: Number of stages of the space.
        """
        self.sources = sources
        self.stages = stages

    def apply(self, genotype: Genotype) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the stages' widths and depths, or None if they do not fit the space."""
        values = {name: source.get(genotype) for name, source in self.sources.items()}
        widths, depths, complete = regnet_stages(**values)
        fits = complete and len(widths) == self.stages and widths[-1] <= MAX_CHANNELS
        return (widths, depths) if fits else None


RULES = {"regnet": RegNetRule}
