"""Derived parametrisations: a few numbers that decide the width and depth of every stage."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import Field

from nas.blocks.fields import MAX_CHANNELS
from nas.space.plan import ValueSource
from nas.space.variables import Genotype

QUANTUM = 8  # widths are multiples of it


def regnet_stages(
    depth: int, w0: float, wa: float, wm: float
) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Return RegNet's stage widths and depths (Radosavovic et al. 2020, section 3.3, eq. 2 to 4).

    Block j has the width u_j = w0 + wa * j, quantised to w0 * wm^round(log_wm(u_j / w0)) and to a
    multiple of 8.

    Args:
        depth: number of blocks.
        w0: initial width.
        wa: slope.
        wm: width ratio between stages, above 1.

    Returns:
        Widths, depths, and whether no quantised stage was skipped or merged.
    """
    powers = [round(math.log((w0 + wa * j) / w0) / math.log(wm)) for j in range(depth)]
    widths = [round(w0 * wm**p / QUANTUM) * QUANTUM for p in powers]
    unique = sorted(set(widths))
    depths = tuple(widths.count(width) for width in unique)
    return tuple(unique), depths, len(unique) == max(powers) + 1


class RegNetRule:
    """Widths and depths of a fixed number of stages from depth, w0, wa and wm.

    Attributes:
        kinds: the parameters and their types.
    """

    kinds: ClassVar[dict[str, Any]] = {
        "depth": Annotated[int, Field(ge=1, le=128)],
        "w0": Annotated[int, Field(ge=8, le=4096)],
        "wa": Annotated[float, Field(ge=0, le=4096)],
        "wm": Annotated[float, Field(gt=1, le=16)],
    }

    def __init__(self, sources: dict[str, ValueSource], stages: int) -> None:
        """Take the parameters' sources and the number of stages that the space has."""
        self.sources = sources
        self.stages = stages

    def apply(self, genotype: Genotype) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the stages' widths and depths, or None where their number does not come out."""
        values = {name: source.get(genotype) for name, source in self.sources.items()}
        widths, depths, whole = regnet_stages(**values)
        fits = whole and len(widths) == self.stages and widths[-1] <= MAX_CHANNELS
        return (widths, depths) if fits else None


RULES = {"regnet": RegNetRule}
