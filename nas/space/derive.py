"""Derived parametrizations, where a few numbers determine the width and depth of every stage."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from nas.blocks.fields import MAX_CHANNELS, Ratio
from nas.blocks.parts import make_divisible
from nas.space.plan import ValueSource, used_variables
from nas.space.variables import Assignment

QUANTUM = 8  # widths are multiples of this
_CACHE = 100_000
Derived = tuple[tuple[int, ...], tuple[int, ...]]
"""Widths and depths of the stages."""


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
    powers = [power_of(j, w0, wa, wm) for j in range(depth)]
    widths = [quantized(w0 * wm**p) for p in powers]
    unique = sorted(set(widths))
    depths = tuple(widths.count(width) for width in unique)
    return tuple(unique), depths, len(unique) == max(powers) + 1


def group_fitted(
    width: int,
    group_width: int,
    bottleneck_ratio: float,
    rounding: Literal["pycls", "torchvision"] = "pycls",
) -> int:
    """Return a width that the groups of a bottleneck divide (Radosavovic et al. 2020, appendix D).

    The width in the middle of the bottleneck is rounded to a multiple of the group width. One below
    the group width stays: the paper narrows the groups then, but a space has them as chosen.

    Args:
        width: Number of output channels.
        group_width: Channels per group; 0 for any number.
        bottleneck_ratio: Output channels as a multiple of those in the middle.
        rounding: ``pycls``, whose code is the paper's, takes the nearest multiple, of two the even
            one. ``torchvision`` takes the larger of two, and one more where the nearest lies more
            than 10% below the width (models/regnet.py). They differ for RegNetX-400MF,
            RegNetY-800MF and RegNetY-8.0GF, which have other parameters there.
    """
    mid = int(width / bottleneck_ratio)
    if not group_width or mid < group_width:
        return width
    if rounding == "torchvision":
        return int(make_divisible(mid, group_width) * bottleneck_ratio)
    return int(round(mid / group_width) * group_width * bottleneck_ratio)


def slope_range(depths: Sequence[int], w0: float, wm: float) -> tuple[float, float]:
    """Return the least and the largest slope with which `regnet_stages` gives these depths.

    The ends themselves may be off by rounding.

    Args:
        depths: Depth of every stage.
        w0: Initial width.
        wm: Width ratio between stages.
    """
    low, high, first = 0.0, math.inf, 0
    for power, depth in enumerate(depths):
        last = first + depth - 1
        if power:
            low = max(low, w0 * (wm ** (power - 0.5) - 1) / first)
        if last:
            high = min(high, w0 * (wm ** (power + 0.5) - 1) / last)
        first += depth
    return low, high


def _near(
    options: list[tuple[int, float]], between: tuple[float, float]
) -> list[tuple[int, float]]:
    """Return the options in a range and the next one on either side, by their index.

    Args:
        options: Pairs of an index and a value, by value.
        between: Ends of the range.
    """
    values = [value for _, value in options]
    low, high = bisect.bisect_left(values, between[0]), bisect.bisect_right(values, between[1])
    return sorted(options[max(low - 1, 0) : high + 1])


def power_of(block: int, w0: float, wa: float, wm: float) -> int:
    """Return the power of wm that a block's width is quantized to (see `regnet_stages`)."""
    return round(math.log((w0 + wa * block) / w0) / math.log(wm))


def quantized(width: float) -> int:
    """Return a width as the nearest multiple of `QUANTUM`."""
    return round(width / QUANTUM) * QUANTUM


def _power(power: int, values: dict[str, Any]) -> int:
    """Return the width of the stage of a power of wm, for values of the other parameters."""
    width = quantized(values["w0"] * values["wm"] ** power)
    return group_fitted(width, values["group_width"], values["bottleneck_ratio"])


class RegNetRule:
    """The rule of `regnet_stages` for a fixed number of stages.

    With the group width and the bottleneck ratio of the blocks, the widths are those that can have
    such groups (see `group_fitted`).

    Attributes:
        kinds: Type of every parameter.
        defaults: Values of the parameters that a space may leave out.
    """

    kinds: ClassVar[dict[str, Any]] = {
        "depth": Annotated[int, Field(ge=1, le=128)],
        "w0": Annotated[int, Field(ge=8, le=4096)],
        "wa": Annotated[float, Field(ge=0, le=4096)],
        "wm": Annotated[float, Field(gt=1, le=16)],
        "group_width": Annotated[int, Field(ge=0, le=1024, strict=True)],
        "bottleneck_ratio": Ratio,
    }
    defaults: ClassVar[dict[str, Any]] = {"group_width": 0, "bottleneck_ratio": 1}

    def __init__(self, sources: dict[str, ValueSource], stages: int) -> None:
        """Create the rule.

        Args:
            sources: Source of every parameter's value.
            stages: Number of stages of the space.
        """
        self.sources = {name: ValueSource(value) for name, value in self.defaults.items()} | sources
        self.stages = stages
        self._cache: dict[tuple[Any, ...], Derived | None] = {}

    @property
    def used(self) -> frozenset[int]:
        """Positions of the variables among the parameters."""
        return frozenset(used_variables(self.sources.values()))

    def apply(self, assignment: Assignment) -> Derived | None:
        """Return the stages' widths and depths, or None if they do not fit the space."""
        key = tuple([source.get(assignment) for source in self.sources.values()])
        if key not in self._cache:
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[key] = self._derived(dict(zip(self.sources, key, strict=True)))
        return self._cache[key]

    def _derived(self, values: dict[str, Any]) -> Derived | None:
        groups = {name: values.pop(name) for name in self.defaults}
        widths, depths, complete = regnet_stages(**values)
        widths = tuple(group_fitted(width, **groups) for width in widths)
        fits = complete and len(widths) == self.stages and widths[-1] <= MAX_CHANNELS
        return (widths, depths) if fits else None

    def parameters(
        self,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        allowed: Mapping[int, Collection[int]] = MappingProxyType({}),
    ) -> Iterator[dict[int, int]]:
        """Yield all parameters that derive these widths and depths, always in the same order.

        Each is given by the index of the value of every variable among them.

        Args:
            widths: Width of every stage.
            depths: Depth of every stage.
            allowed: Indices that a variable can have, by its position; any without an entry.
        """
        options = {
            name: [
                (i, value)
                for i, value in enumerate(source.options)
                if source.variable is None or i in allowed.get(source.variable, (i,))
            ]
            for name, source in self.sources.items()
        }
        slopes = sorted(options["wa"], key=lambda option: option[1])
        totals = [option for option in options["depth"] if option[1] == sum(depths)]
        names = ("depth", "group_width", "bottleneck_ratio", "w0", "wm")
        for chosen in itertools.product(totals, *(options[name] for name in names[1:])):
            values = {name: value for name, (_, value) in zip(names, chosen, strict=True)}
            if any(width != _power(k, values) for k, width in enumerate(widths)):
                continue
            indices = {name: index for name, (index, _) in zip(names, chosen, strict=True)}
            for m, wa in _near(slopes, slope_range(depths, values["w0"], values["wm"])):
                if self._derived({**values, "wa": wa}) == (widths, depths):
                    yield self._indices({**indices, "wa": m})

    def _indices(self, chosen: dict[str, int]) -> dict[int, int]:
        return {
            source.variable: chosen[name]
            for name, source in self.sources.items()
            if source.variable is not None
        }


RULES = {"regnet": RegNetRule}
