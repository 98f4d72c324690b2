"""Plans that turn a genotype into blocks: the source of every field's value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.blocks import BLOCKS, DEFAULTS, FIELDS, Block
from nas.space.variables import Assignment, Genotype

_CACHE = 100_000


@dataclass(frozen=True)
class ValueSource:
    """The source of a field's value: a fixed value or a variable.

    Attributes:
        value: The fixed value, if there is no variable.
        variable: Position of the variable; None for a fixed value.
        values: Values of the variable.
    """

    value: Any = None
    variable: int | None = None
    values: tuple[Any, ...] = ()

    def get(self, assignment: Assignment) -> Any:
        """Return the value in a network; that of an inactive variable, the first, has no effect."""
        if self.variable is None:
            return self.value
        return self.values[max(assignment[self.variable], 0)]

    def known(self, assignment: Assignment) -> Any:
        """Return the value, or None if the assignment is partial and lacks the variable."""
        partial = isinstance(assignment, Mapping) and self.variable is not None
        return None if partial and self.variable not in assignment else self.get(assignment)

    @property
    def options(self) -> tuple[Any, ...]:
        """All values that the source can give."""
        return (self.value,) if self.variable is None else self.values


@dataclass
class BlockPlan:
    """The plan of a block, or of several blocks that are always equal.

    Attributes:
        op: Source of the block family.
        sources: Source of each field; fields that the chosen family does not have are ignored.
        stride: Stride of the block, 1 or 2.
    """

    op: ValueSource
    sources: dict[str, ValueSource]
    stride: int
    _used: tuple[int, ...] = ()
    _cache: dict[tuple[int, ...], Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._used = used_variables((self.op, *self.sources.values()))

    @property
    def coupled(self) -> tuple[str, str] | None:
        """Two fields that both vary, of which one can have the effect of the other, if any."""
        varying = {name for name, source in self.sources.items() if source.variable is not None}
        pairs = (pair for family in self.op.options for pair in BLOCKS[family].coupled)
        return next((pair for pair in pairs if varying.issuperset(pair)), None)

    def build(self, genotype: Genotype, channels: int | None = None) -> Block:
        """Return the block; `channels` overrides its source (in derived parametrizations)."""
        key = tuple([genotype[i] for i in self._used])
        if channels is not None:
            key = (*key, channels)
        block = self._cache.get(key)
        if block is None:
            op = self.op.get(genotype)
            values = {**DEFAULTS[op], "stride": self.stride}
            for name, source in self.sources.items():
                if name in FIELDS[op]:
                    values[name] = source.get(genotype)
            if channels is not None:
                values["channels"] = channels
            block = BLOCKS[op].trusted(values)
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[key] = block
        return block


@dataclass
class StagePlan:
    """The plan of a stage.

    Attributes:
        name: Name of the stage in the document.
        depth: Source of the number of blocks; None where a rule derives it.
        blocks: Plans of the blocks in order; the last one is also that of all further blocks.
        continues: Whether the blocks belong to the same stage of the network as those of the plan
            before.
    """

    name: str
    depth: ValueSource | None
    blocks: list[BlockPlan]
    continues: bool = False

    def block(self, index: int) -> BlockPlan:
        """Return the plan of the block at a position."""
        return self.blocks[min(index, len(self.blocks) - 1)]

    def build(
        self, genotype: Genotype, derived: tuple[int, int] | None = None
    ) -> tuple[Block, ...]:
        """Return the stage's blocks; `derived` is its width and depth if a rule derives them."""
        width, depth = derived or (None, self.depth.get(genotype) if self.depth else 0)
        blocks = [plan.build(genotype, width) for plan in self.blocks[:depth]]
        return (*blocks, *[blocks[-1]] * (depth - len(blocks)))

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the variables that the stage depends on, each once."""
        sources = [self.depth] if self.depth else []
        for plan in self.blocks:
            sources += [plan.op, *plan.sources.values()]
        return tuple(dict.fromkeys(used_variables(sources)))


def network_stages(stages: Iterable[StagePlan]) -> list[list[int]]:
    """Return the positions of the plans that make up every stage of a network."""
    groups: list[list[int]] = []
    for i, stage in enumerate(stages):
        if groups and stage.continues:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def used_variables(sources: Iterable[ValueSource]) -> tuple[int, ...]:
    """Return the positions of the variables among the sources, with repetitions."""
    return tuple(source.variable for source in sources if source.variable is not None)


def get_all(sources: dict[str, ValueSource], genotype: Assignment) -> dict[str, Any]:
    """Return the value of every source in the network of a genotype."""
    return {key: source.get(genotype) for key, source in sources.items()}
