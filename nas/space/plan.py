"""Plans that turn a genotype into blocks: the source of every field's value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nas.blocks import BLOCKS, DEFAULTS, FIELDS, Block
from nas.space.variables import Genotype, Variable

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

    def get(self, genotype: Genotype) -> Any:
        """Return the value in the network of a genotype."""
        return self.value if self.variable is None else self.values[genotype[self.variable]]

    @property
    def options(self) -> tuple[Any, ...]:
        """All values that the source can give."""
        return (self.value,) if self.variable is None else self.values


Claim = Callable[[ValueSource, Any, str], None]
"""A function that requires a source to give a value for the field of the given name."""


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

    def match(self, block: Block, claim: Claim) -> None:
        """Claim the values that make this plan build `block` (see `claim_into`).

        Raises:
            ValueError: If the plan cannot build the block.
        """
        claim(self.op, block.family, "op")
        if block.stride != self.stride:
            raise ValueError(f"stride is {block.stride}, but the space has {self.stride}")
        for item in dataclasses.fields(block):
            if item.name in ("op", "stride"):
                continue
            source = self.sources.get(item.name, ValueSource(item.default))
            claim(source, getattr(block, item.name), item.name)


@dataclass
class StagePlan:
    """The plan of a stage.

    Attributes:
        name: Name of the stage in the document.
        depth: Source of the number of blocks; None where a rule derives it.
        blocks: Plans of the blocks in order; the last one is also that of all further blocks.
    """

    name: str
    depth: ValueSource | None
    blocks: list[BlockPlan]

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


def used_variables(sources: Iterable[ValueSource]) -> tuple[int, ...]:
    """Return the positions of the variables among the sources, with repetitions."""
    return tuple(source.variable for source in sources if source.variable is not None)


def get_all(sources: dict[str, ValueSource], genotype: Genotype) -> dict[str, Any]:
    """Return the value of every source in the network of a genotype."""
    return {key: source.get(genotype) for key, source in sources.items()}


def claim_into(assignment: dict[int, int], variables: list[Variable]) -> Claim:
    """Return a function ``claim(source, value, field)`` that requires a source to give a value.

    It records the index of the value in `assignment` if the source is a variable.

    Args:
        assignment: Indices of the values claimed, by position of their variable; filled in place.
        variables: Variables of the space.

    Returns:
        The function, which raises a ValueError if the source cannot give the value or another
        value has been claimed for its variable.
    """

    def claim(source: ValueSource, value: Any, field_name: str) -> None:
        if source.variable is None:
            if source.value != value:
                raise ValueError(
                    f"{field_name} is {_show(value)}, but the space has {_show(source.value)}"
                )
            return
        variable = variables[source.variable]
        if value not in variable.values:
            raise ValueError(
                f"{field_name} is {_show(value)}, not among the {len(variable.values)} choices of "
                f"{variable.name}: {_show_some(variable.values)}"
            )
        index = variable.values.index(value)
        if assignment.setdefault(source.variable, index) != index:
            other = variable.values[assignment[source.variable]]
            raise ValueError(
                f"{field_name} is {_show(value)}, but {variable.name} is {_show(other)} elsewhere "
                "in the network"
            )

    return claim


def _show(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _show_some(values: tuple[Any, ...], limit: int = 8) -> str:
    shown = ", ".join(map(_show, values[:limit]))
    return shown + (", ..." if len(values) > limit else "")
