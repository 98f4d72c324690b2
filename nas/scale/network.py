"""Scaling a network by factors of depth, width and resolution."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from nas.blocks import Block
from nas.blocks.parts import Rules, Widening
from nas.errors import MixnasError, unknown
from nas.scale.factors import Factors
from nas.spec import Head, NetworkSpec

B = TypeVar("B", bound=Block)
PlacedBlock = tuple[Block, int]
"""A block, and the number of its input channels in the network that it is of."""
RESOLUTION_STEP = 4
"""Scaled resolutions are multiples of it, in pixels, as all published ones are."""
_ROUNDING = 1e-9  # a power that should be whole may exceed it in binary


@dataclass(frozen=True)
class ScalingRules:
    """What is scaled and how it is rounded, where the published codes differ.

    Attributes:
        stem: ``scale`` the channels of the stem, or ``keep`` them.
        head: ``scale`` the channels of the head, ``grow`` those of its last layer only, since a
            small network needs as many features for its classes (Sandler et al. 2018, MobileNetV2,
            section 6.1), or ``keep`` all of them (MixNet's published code).
        repeats: How the number of blocks of a stage is rounded: up (``ceil``), or to the nearest
            (``round``).
        group_width: ``scale`` the channels per convolution group with the width, or ``keep`` them.
            Depthwise convolutions stay depthwise.
        rounding: Channels become the nearest multiple of 8 (``nearest``; EfficientNetV2's published
            code), or the next one where that would be more than 10% less (``limited``).
        keep_ends: Whether the first and the last stage keep their depth.

    Raises:
        MixnasError: If a value is unknown.
    """

    stem: str = "scale"
    head: str = "grow"
    repeats: str = "ceil"
    group_width: str = "scale"
    rounding: str = "limited"
    keep_ends: bool = False

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed:
                what = f"rule for the {name.replace('_', ' ')}"
                raise MixnasError(unknown(what, value, allowed))


ALLOWED = {
    "stem": ("scale", "keep"),
    "head": ("grow", "scale", "keep"),
    "repeats": ("ceil", "round"),
    "group_width": ("scale", "keep"),
    "rounding": ("limited", "nearest"),
}
"""The values of the rules that are words."""
MULTIPLIER_RULES = ScalingRules()
"""As MobileNetV2's published code applies its width multiplier."""
COMPOUND_RULES = ScalingRules(head="scale")
"""As EfficientNet's published code scales EfficientNet-B0."""
FAST_RULES = ScalingRules(head="scale", repeats="round")
"""As the published code of fast compound scaling does (pycls, models/scaler.py)."""


def scaled(
    spec: NetworkSpec,
    factors: Factors,
    rules: ScalingRules = MULTIPLIER_RULES,
    resolution: int | None = None,
) -> NetworkSpec:
    """Return a network of other depth, width and resolution.

    A factor of 1 leaves its dimension as it is. Channels are rounded to multiples of 8, the
    resolution to the nearest multiple of `RESOLUTION_STEP`, and the number of blocks of a stage as
    the rules say. All else, such as kernels, ratios and numbers of groups, stays.

    Args:
        spec: The network. Its name is kept.
        factors: What depth, width and resolution are multiplied by.
        rules: What is scaled besides, and how the number of blocks is rounded.
        resolution: Side length of the input images in pixels, in place of the scaled one.

    Returns:
        The scaled network. At small widths, a block may have fewer channels than it needs; counting
        and building then name that block.

    Raises:
        MixnasError: If the result has more channels or pixels than a network may have, or fewer.
    """
    try:
        if factors.depth != 1:
            spec = spec.replace(stages=_deepened(spec, factors.depth, rules))
        if factors.width != 1:
            spec = _widened(spec, factors.width, rules)
        if resolution is None:
            resolution = _resolution(spec.input.resolution, factors.resolution)
        return spec if resolution == spec.input.resolution else _at(spec, resolution)
    except ValidationError as error:
        problem, *_ = error.errors()
        field = ".".join(map(str, problem["loc"]))
        raise MixnasError(
            f"{spec.name or 'the network'} cannot be scaled so: {field}: "
            f"{problem['msg'][:1].lower()}{problem['msg'][1:]}; found {problem['input']}"
        ) from None
    except ValueError as error:  # a block's own, of channels that it cannot have
        raise MixnasError(f"{spec.name or 'the network'} cannot be scaled so: {error}") from None


def _at(spec: NetworkSpec, resolution: int) -> NetworkSpec:
    return spec.replace(input=dataclasses.replace(spec.input, resolution=resolution))


def _resolution(pixels: int, factor: float) -> int:
    """Return the scaled resolution in pixels, a multiple of `RESOLUTION_STEP` unless kept."""
    if factor == 1:
        return pixels
    return max(1, int(pixels * factor / RESOLUTION_STEP + 0.5)) * RESOLUTION_STEP


def _deepened(
    spec: NetworkSpec, factor: float, rules: ScalingRules
) -> tuple[tuple[Block, ...], ...]:
    """Return the stages with more or fewer blocks."""
    ends = (0, len(spec.stages) - 1) if rules.keep_ends else ()
    before, channels, stages = spec.stem.channels, spec.stem.channels, []
    for i, stage in enumerate(spec.stages):
        placed, before = _placed(stage, before), stage[-1].channels
        if i not in ends:
            placed = _with_repeats(placed, _repeats(len(stage), factor, rules.repeats))
        blocks = []
        for block, in_channels in placed:
            blocks.append(block.moved(in_channels, channels))
            channels = blocks[-1].channels
        stages.append(tuple(blocks))
    return tuple(stages)


def _placed(stage: Iterable[Block], in_channels: int) -> list[PlacedBlock]:
    """Return the blocks of a stage with the number of their input channels."""
    found = []
    for block in stage:
        found.append((block, in_channels))
        in_channels = block.channels
    return found


def _repeats(blocks: int, factor: float, rule: str) -> int:
    """Return the scaled number of blocks of a stage."""
    if rule == "round":
        return max(1, round(blocks * factor))
    return math.ceil(blocks * factor - _ROUNDING)


def _with_repeats(stage: list[PlacedBlock], blocks: int) -> list[PlacedBlock]:
    """Return a stage with another number of blocks; every run of equal blocks keeps one.

    The number is distributed over the runs in proportion to their lengths, from the last to the
    first, so that the first block, which differs in most networks, is repeated last (timm,
    models/_efficientnet_builder.py). A repeated block has stride 1. Since each run's share is
    rounded and is at least one block, fewer blocks than runs need may become a few more than asked.
    """
    runs, before = _runs(stage), len(stage)
    resized: list[list[PlacedBlock]] = []
    for run in reversed(runs):
        last, in_channels = run[-1]
        length = max(1, round(len(run) / before * blocks)) if last.repeatable else len(run)
        more = length - len(run)
        resized.insert(0, [*run[:length], *[(_at_stride_1(last), in_channels)] * more])
        before, blocks = before - len(run), blocks - length
    return [block for run in resized for block in run]


def _runs(stage: Iterable[PlacedBlock]) -> list[list[PlacedBlock]]:
    """Return the runs of blocks that are equal, apart from a stride of the first one."""
    runs: list[list[PlacedBlock]] = []
    for block, in_channels in stage:
        if runs and _continues(block, in_channels, *runs[-1][0]):
            runs[-1].append((block, in_channels))
        else:
            runs.append([(block, in_channels)])
    return runs


def _continues(block: Block, in_channels: int, first: Block, first_in_channels: int) -> bool:
    """Return whether a block would be equal to the first one of a run in its place."""
    return block.moved(in_channels, first_in_channels) == _at_stride_1(first)


def _at_stride_1(block: B) -> B:
    return block if block.stride == 1 else dataclasses.replace(block, stride=1)


def _widened(spec: NetworkSpec, factor: float, rules: ScalingRules) -> NetworkSpec:
    """Return a network with more or fewer channels."""
    wide = Widening(factor) if rules.rounding == "limited" else Widening(factor, round_limit=0)
    stem = spec.stem
    if rules.stem == "scale":
        stem = dataclasses.replace(
            stem,
            channels=wide(stem.channels),
            before=tuple(map(wide, stem.before)),
        )
    channels, before, stages = stem.channels, spec.stem.channels, []
    for stage in spec.stages:
        blocks = []
        for block in stage:
            wide_block = block.widened(wide, before, channels)
            before = block.channels
            if rules.group_width == "scale" and getattr(block, "group_width", 1) > 1:
                wide_block = _with_group_width(wide_block, factor, channels, spec.rules)
            blocks.append(wide_block)
            channels = wide_block.channels
        stages.append(tuple(blocks))
    return spec.replace(stem=stem, stages=tuple(stages), head=_widened_head(spec.head, wide, rules))


def _widened_head(head: Head, wide: Widening, rules: ScalingRules) -> Head:
    """Return a head whose layers have more or fewer channels; those it does not have stay away."""
    if rules.head == "keep":
        return head

    before = [head.channels, *head.hidden]
    widths = list(map(wide, before))
    if rules.head == "grow":  # MobileNetV3's published code scales the layers before the last one
        widths[-1] = max(before[-1], widths[-1])
    return dataclasses.replace(head, channels=widths[0], hidden=tuple(widths[1:]))


def _with_group_width(block: B, factor: float, in_channels: int, rules: Rules) -> B:
    """Return a block whose convolution groups are scaled with its width.

    The group width is rounded as in pycls (models/scaler.py): to 1, 2, 4 or a multiple of 8. Where
    it does not divide the channels, the nearest width that does is taken instead.
    """
    wide = max(1, round(getattr(block, "group_width", 1) * factor))
    if wide > 2:
        wide = 4 if wide <= 5 else int(wide / 8 + 0.5) * 8
    nearest_first = sorted(range(1, 2 * wide), key=lambda width: (abs(width - wide), -width))
    for width in nearest_first:
        changed = dataclasses.replace(block, **{"group_width": width})
        try:
            changed.expand(in_channels, rules)
        except ValueError:  # it does not divide the channels
            continue
        return changed
    return block
