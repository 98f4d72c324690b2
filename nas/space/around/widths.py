"""The widths of a network's blocks: which are one, and the values one step around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from nas.blocks import Block, Rules
from nas.blocks.parts import make_divisible
from nas.ir import Container, Node, Pad, Residual, Sum
from nas.space.around.steps import FACTORS, Fitted
from nas.spec import NetworkSpec

_QUANTUM = 8  # widths are multiples of this


@dataclasses.dataclass(frozen=True)
class Width:
    """The output channels of blocks that always have equally many.

    Attributes:
        blocks: Positions of the blocks in the network, in order.
        values: Numbers of channels to choose from, ascending; one if they do not vary.
    """

    blocks: tuple[int, ...]
    values: tuple[int, ...]


def widths_of(spec: NetworkSpec) -> list[Width]:
    """Return the widths of a network.

    Blocks of a stage with as many channels have one width, as skip connections and shuffle blocks
    need, and pooling has its input's. Three quarters and five quarters of it are rounded to a
    multiple of 8; where a block refuses that (group widths divide channels), the nearest multiple
    takes its place that all accept, up to halfway to the network's own; so does a width with which
    a block would gain or lose its skip connection. Fixed are the widths of
    DenseNet's layers, which grow with each of them, those of Inception modules, which are sums, and
    whatever leads into a dense layer or only pools what the stem returns.
    """
    blocks = spec.blocks
    groups = _groups(spec)
    return [Width(tuple(group), _values(spec, blocks, group)) for group in groups]


def _groups(spec: NetworkSpec) -> list[list[int]]:
    """Return the positions of blocks that have one width."""
    groups: list[list[int]] = []
    position = 0
    for stage in spec.stages:
        here: dict[int, list[int]] = {}
        for block in stage:
            if block.width == "input" and position:
                group = next(group for group in groups if position - 1 in group)
                here.setdefault(block.channels, group)
            elif block.channels not in here:
                here[block.channels] = []
                groups.append(here[block.channels])
            here[block.channels].append(position)
            position += 1
    return groups


def _values(spec: NetworkSpec, blocks: Sequence[Block], group: list[int]) -> tuple[int, ...]:
    own = blocks[group[0]].channels
    grows = any(blocks[i].width == "growing" for k in group for i in (k, k + 1) if i < len(blocks))
    sums = any(blocks[i].width == "sum" for i in group)
    if grows or sums or blocks[group[0]].width == "input":
        return (own,)
    found = {own} | {_nearest(spec, group, own, factor) for factor in FACTORS}
    return tuple(sorted(found))


def _nearest(spec: NetworkSpec, group: list[int], own: int, factor: float) -> int:
    """Return the width next to a multiple of a group's own that its blocks accept, or its own."""
    wanted = make_divisible(own * factor, _QUANTUM)
    tolerance = abs(own - own * factor) / 2
    for distance in range(0, int(tolerance) + 1, _QUANTUM):
        for width in (wanted - distance, wanted + distance):
            if width >= _QUANTUM and _accepted(spec, group, width):
                return width
    return own


def _accepted(spec: NetworkSpec, group: list[int], width: int) -> bool:
    """Return whether the blocks of a group and those that follow them take another width."""
    blocks, inside = spec.blocks, set(group)
    for i in sorted(inside | {k + 1 for k in group if k + 1 < len(blocks)}):
        before = blocks[i - 1].channels if i else spec.stem.channels
        place = Fitted(blocks[i], width if i - 1 in inside else before)
        changed = place.changed(channels=width if i in inside else blocks[i].channels)
        if changed is None or _skips(changed) != _skips(Fitted(blocks[i], before)):
            return False
    return True


def _skips(place: Fitted) -> list[str]:
    """Return where a block adds its input, or what comes of it, by the kinds of the nodes."""
    return list(_sums(place.block.expand(place.in_channels, Rules())))


def _sums(node: Node) -> Iterator[str]:
    if isinstance(node, Residual | Sum | Pad):
        yield type(node).__name__
    if isinstance(node, Container):
        for _, child in node.children:
            yield from _sums(child)
