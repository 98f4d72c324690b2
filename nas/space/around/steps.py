"""The values one step around those of a block."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nas.blocks import Block, Rules
from nas.blocks.canonical import canonical_block
from nas.blocks.fields import MAX_GROUPS

FACTORS = (0.75, 1.25)
"""What one step multiplies a width or a fractional ratio by."""

_SIZES = (3, 5, 7, 9)  # of the kernels that MixNet's searched networks mix (Tan and Le 2019)
_PLACES = 4  # of ratios; more would not change a number of channels


class Fitted(NamedTuple):
    """A block and the number of channels of its input."""

    block: Block
    in_channels: int

    @property
    def fits(self) -> bool:
        """Whether the block can be built."""
        try:
            self.block.expand(self.in_channels, Rules())
        except ValueError:
            return False
        return True

    def changed(self, **changes: Any) -> Fitted | None:
        """Return the block with other values, None if it does not take them."""
        try:
            block = dataclasses.replace(self.block, **changes)
        except ValueError:
            return None
        other = Fitted(block, self.in_channels)
        return other if other.fits else None


def choices(name: str, places: Sequence[Fitted]) -> list[Any]:
    """Return the values of a field one step around the blocks' own, and that, from small to large.

    Those that one of the blocks refuses are left out, and of values with the same effect in all of
    them all but one; the blocks' own is always there.

    Args:
        name: Name of the field.
        places: Blocks that have the same value, each with its input channels.
    """
    block = places[0].block
    own = getattr(block, name)
    # Of two fields with the same effect, the second varies.
    same = {first for first, second in block.coupled if second in STEPS}
    if name not in STEPS or name in same or not block.repeatable:
        return [own]
    kept = {_effect(places): own}
    steps = STEPS[name](own)
    if name == "se_ratio" and not own:
        steps = [block.usual_se_ratio]
    for value in steps:
        changed = [place.changed(**{name: value}) for place in places]
        found = [other for other in changed if other is not None]
        if len(found) == len(places):
            kept.setdefault(_effect(found), getattr(found[0].block, name))
    return sorted(kept.values(), key=lambda value: (len(value), value) if _is_mix(value) else value)


def _effect(places: Sequence[Fitted]) -> tuple[Block, ...]:
    return tuple(canonical_block(block, in_channels) for block, in_channels in places)


def _is_mix(value: Any) -> bool:
    return isinstance(value, tuple)


def _sizes(own: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted({*_SIZES, *own}))


def _next_sizes(kernel: int, sizes: tuple[int, ...]) -> list[int]:
    i = sizes.index(kernel)
    return [sizes[k] for k in (i - 1, i + 1) if 0 <= k < len(sizes)]


def kernel_steps(mix: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the mixes one step around a mix: as many groups or one more or one fewer.

    Of as many groups, one has the next smaller or larger kernel; a group more has the size beyond
    the smallest or the largest one, and a group fewer lacks one of these. Sizes go from 3x3 to 9x9,
    or to the mix's own largest one. No kernels at all stay none, and a 1x1 convolution, which is
    another layer, stays one.
    """
    if not mix or 1 in mix:
        return []
    sizes = _sizes(mix)
    moved = [
        tuple(sorted((*mix[:i], size, *mix[i + 1 :])))
        for i, kernel in enumerate(mix)
        for size in _next_sizes(kernel, sizes)
    ]
    low, high = sizes.index(min(mix)), sizes.index(max(mix))
    beyond = [*sizes[max(low - 1, 0) : low], *sizes[high + 1 : high + 2]]
    more = [tuple(sorted((*mix, size))) for size in beyond if len(mix) < MAX_GROUPS]
    ordered = sorted(mix)
    fewer = [tuple(ordered[1:]), tuple(ordered[:-1])] if len(mix) > 1 else []
    return list(dict.fromkeys([*moved, *more, *fewer]))


def _kernel_steps(kernel: int) -> list[int]:
    """Return the sizes one step around a single kernel's; a 1x1 convolution stays one."""
    if kernel == 1 or kernel % 2 == 0:
        return []
    return _next_sizes(kernel, _sizes([kernel]))


def ratio_steps(ratio: float) -> list[float]:
    """Return the ratios one step around: one less and one more, or by a quarter if it is no whole.

    A whole ratio of 1 has one neighbour, since no expansion is below.
    """
    if isinstance(ratio, int):
        return [other for other in (ratio - 1, ratio + 1) if other >= 1]
    return [round(ratio * factor, _PLACES) for factor in FACTORS]


def _bottleneck_steps(ratio: float) -> list[float]:
    """Return the ratios with a quarter less or more channels in the middle of a bottleneck.

    A ratio of 1 is no bottleneck, and stays (as in RegNet; Radosavovic et al. 2020, section 4).
    """
    return [] if ratio == 1 else [round(ratio / factor, _PLACES) for factor in FACTORS]


def _share_steps(ratio: float) -> list[float]:
    return [round(ratio * factor, _PLACES) for factor in FACTORS]


def _base_width_steps(width: int) -> list[int]:
    return [round(width * factor) for factor in FACTORS]


def _se_steps(ratio: float) -> list[float]:
    """Return the ratio without SE; that of a block without it depends on the family."""
    return [0] if ratio else []


def _width_steps(width: int) -> list[int]:
    """Return half and twice a group width.

    A depthwise convolution (1) and one group of all channels (0) stay what they are.
    """
    if width < 2:
        return []
    return [width // 2, 2 * width] if width % 2 == 0 else [2 * width]


STEPS: dict[str, Callable[[Any], list[Any]]] = {
    "kernels": kernel_steps,
    "start_kernels": kernel_steps,
    "end_kernels": kernel_steps,
    "kernel": _kernel_steps,
    "expansion": ratio_steps,
    "bottleneck": ratio_steps,
    "bottleneck_ratio": _bottleneck_steps,
    "base_width": _base_width_steps,
    "squeeze_ratio": _share_steps,
    "se_ratio": _se_steps,
    "group_width": _width_steps,
}
"""The steps of every field that varies, by its name in the block families."""
