"""What a field of a block contributes to the layer tree, in terms of a space's variables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from nas.blocks import BLOCKS, DEFAULTS, FIELDS
from nas.blocks.canonical import equivalents
from nas.space.derive import RegNetRule
from nas.space.plan import BlockPlan, ValueSource, used_variables
from nas.space.variables import Assignment

_MAX_COMBINATIONS = 100_000
_CACHE = 100_000
_CHANNELS = 8  # any number will do where the channels do not matter


class Impossible(NamedTuple):
    """A value that a block cannot have."""

    reason: str


@dataclass(frozen=True)
class Place:
    """A position in a stage, with the plan of the block there.

    Attributes:
        stage: Position of the stage.
        name: Name of the stage.
        position: Position of the block in the stage.
        plan: Plan of the block.
        depth: Source of the stage's depth; None where a rule derives it.
        inputs: Source of the block's input channels; None where a rule derives them.
        rule: The rule, if any.
    """

    stage: int
    name: str
    position: int
    plan: BlockPlan
    depth: ValueSource | None
    inputs: ValueSource | None
    rule: RegNetRule | None

    def channels(self, assignment: Assignment) -> tuple[int | None, int | None] | None:
        """Return the block's input and output channels; None if the block does not exist.

        Either is None if its source is not assigned, because it does not matter.
        """
        if self.rule is None:
            assert self.depth is not None
            if not self.always and self.depth.get(assignment) <= self.position:
                return None
            assert self.inputs is not None
            return self.inputs.known(assignment), self.plan.sources["channels"].known(assignment)
        derived = self.rule.apply(assignment)
        if derived is None or derived[1][self.stage] <= self.position:
            return None
        width = derived[0][self.stage]
        if self.position:
            return width, width
        if self.stage:
            return derived[0][self.stage - 1], width
        assert self.inputs is not None  # the stem's
        return self.inputs.known(assignment), width

    @property
    def fields(self) -> list[str]:
        """Names of the fields that have a source, or may not fit in spite of their default."""
        contexts = (BLOCKS[family].context for family in self.plan.op.options)
        names = dict.fromkeys(itertools.chain(self.plan.sources, *contexts))
        return [name for name in names if name != "channels"]

    @cached_property
    def always(self) -> bool:
        """Whether the block exists whatever the depth of the stage."""
        return self.depth is not None and min(self.depth.options) > self.position

    @cached_property
    def deciding(self) -> frozenset[int]:
        """Positions of the variables that decide whether the block exists, and its family."""
        sources = [self.plan.op]
        if self.depth is not None and not self.always:
            sources.append(self.depth)
        return frozenset(used_variables(sources)) | (self.rule.used if self.rule else frozenset())


@dataclass
class Use:
    """A field of the block at a place.

    Attributes:
        place: The place.
        name: Name of the field; ``op`` for the block family itself.
    """

    place: Place
    name: str
    _cache: dict[tuple[int, ...], Hashable] = field(default_factory=dict, repr=False)

    @cached_property
    def _context(self) -> dict[str, tuple[str, ...]]:
        """What the field's effect depends on, by family; no entry for families without it."""
        if self.name == "op":
            context = ("activation", "expansion", "group_width", "in_channels")
            return dict.fromkeys(self.place.plan.op.options, context)
        return {
            family: BLOCKS[family].context.get(self.name, ())
            for family in self.place.plan.op.options
            if self.name in FIELDS[family]
        }

    @cached_property
    def scope(self) -> frozenset[int]:
        """Positions of all variables that the effect depends on."""
        names = {self.name, *itertools.chain(*self._context.values())} - {"op"}
        place = self.place
        sources = [place.plan.sources[name] for name in names if name in place.plan.sources]
        if "in_channels" in names and place.inputs is not None:
            sources.append(place.inputs)
        return place.deciding | frozenset(used_variables(sources))

    @cached_property
    def _scope(self) -> tuple[int, ...]:
        return tuple(sorted(self.scope))

    def effect(self, assignment: Assignment) -> Hashable:
        """Return what the field contributes: equal results exactly if the layers are equal.

        Args:
            assignment: Values of at least the variables in `scope`.

        Returns:
            None if the field does not exist; an `Impossible` if the block cannot have the value.
        """
        key = tuple([assignment[i] for i in self._scope])
        if key not in self._cache:
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[key] = self._effect(assignment)
        return self._cache[key]

    def _effect(self, assignment: Assignment) -> Hashable:
        channels = self.place.channels(assignment)
        return None if channels is None else self.effect_at(channels, assignment)

    @cached_property
    def depends_on_input(self) -> bool:
        """Whether the effect depends on the number of the block's input channels."""
        return any("in_channels" in context for context in self._context.values())

    def effect_at(
        self, channels: tuple[int | None, int | None], assignment: Assignment
    ) -> Hashable:
        """Return the effect (see `effect`) in a block of given input and output channels.

        Either may be None if it does not matter; the assignment need not determine them.
        """
        plan = self.place.plan
        family = plan.op.get(assignment)
        if family not in self._context:
            return None
        in_channels, out_channels = channels
        values = {"stride": plan.stride, "channels": out_channels or _CHANNELS}
        for name in (self.name, *self._context[family]):
            if name in plan.sources and name in FIELDS[family] and name != "channels":
                values[name] = plan.sources[name].get(assignment)
        return _effect(family, self.name, values, in_channels or _CHANNELS)

    def follows(self, earlier: Use) -> bool:
        """Return whether the value is possible wherever that of an earlier block's use is.

        That is so if both depend on the same values: not on the stride or the input channels, which
        differ between the first block of a stage and the others.
        """
        here, there = self.place, earlier.place
        if (self.name, here.stage) != (earlier.name, there.stage):
            return False
        names = {self.name, *itertools.chain(*self._context.values())}
        return not names & {"stride", "in_channels"} and all(
            here.plan.sources.get(name) == there.plan.sources.get(name) for name in names
        )

    def varies(self) -> tuple[bool, bool]:
        """Return whether two values can have the same effect, and whether one can be impossible."""
        equal = impossible = False
        for family, context in self._context.items():
            if self.name not in BLOCKS[family].context and self.name != "op":
                continue
            answers = self._varies(family, context)
            equal, impossible = equal or answers[0], impossible or answers[1]
        return equal, impossible

    def _varies(self, family: str, context: tuple[str, ...]) -> tuple[bool, bool]:
        plan, place = self.place.plan, self.place
        if place.rule is not None and {"in_channels", "channels"} & set(context):
            return True, True  # there are too many widths to try them
        tied: dict[Hashable, tuple[list[str], tuple[Any, ...]]] = {}
        for name in dict.fromkeys((self.name, *context)):
            source = place.inputs if name == "in_channels" else plan.sources.get(name)
            if name == "stride":
                source = ValueSource(plan.stride)
            elif source is None or (name not in FIELDS[family] and name != "in_channels"):
                continue
            key = name if source.variable is None else source.variable
            tied.setdefault(key, ([], source.options))[0].append(name)
        groups = [(tuple(names), options) for names, options in tied.values()]
        return _varies(family, self.name, tuple(groups))


def _effect(family: str, name: str, values: dict[str, Any], in_channels: int) -> Hashable:
    block = BLOCKS[family].trusted({**DEFAULTS[family], **values})
    try:
        if name == "op":
            return equivalents(block, in_channels)[0].family
        return (family, block.effect(name, in_channels))
    except ValueError as error:
        return Impossible(str(error))


@lru_cache(4096)
def _varies(
    family: str, name: str, groups: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...]
) -> tuple[bool, bool]:
    """Return whether two values of a field can have the same effect, and one be impossible.

    Args:
        family: Block family.
        name: Name of the field.
        groups: Names of the fields (and ``in_channels``) that share a source, and its options. If
            the field has a source, its group is the first.
    """
    if math.prod(len(options) for _, options in groups) > _MAX_COMBINATIONS:
        return True, True
    own, others = (groups[0], groups[1:]) if groups else (((), (None,)), ())
    if name not in own[0]:
        own, others = ((), (None,)), groups
    equal = impossible = False
    for chosen in itertools.product(*(options for _, options in others)):
        values: dict[str, Any] = {"channels": _CHANNELS, "in_channels": _CHANNELS}
        for (names, _), value in zip(others, chosen, strict=True):
            values |= dict.fromkeys(names, value)
        effects = []
        for value in own[1]:
            given = values | dict.fromkeys(own[0], value)
            effects.append(_effect(family, name, given, given.pop("in_channels")))
        possible = [effect for effect in effects if not isinstance(effect, Impossible)]
        impossible = impossible or len(possible) < len(effects)
        equal = equal or len(set(possible)) < len(possible)
        if name == "op":
            equal = equal or any(effect != family for effect in possible)
    return equal, impossible
