"""How a genotype becomes blocks: where every field of every block takes its value from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas.blocks import BLOCKS, DEFAULTS, FIELDS, Block
from nas.space.variables import Genotype, Variable

_CACHE = 100_000


@dataclass(frozen=True)
class ValueSource:
    """A fixed value, or the variable that decides it.

    Attributes:
        value: the fixed value.
        variable: the variable's index, or None.
        values: that variable's values.
    """

    value: Any = None
    variable: int | None = None
    values: tuple[Any, ...] = ()

    def get(self, genotype: Genotype) -> Any:
        """Return the value in a network."""
        return self.value if self.variable is None else self.values[genotype[self.variable]]

    @property
    def options(self) -> tuple[Any, ...]:
        """All values it can take."""
        return (self.value,) if self.variable is None else self.values


@dataclass
class BlockPlan:
    """The fields of one block, or of several that always agree.

    Attributes:
        op: the block family.
        sources: where each field comes from; families skip the fields that they do not have.
        stride: 1 or 2, fixed.
    """

    op: ValueSource
    sources: dict[str, ValueSource]
    stride: int
    _used: tuple[int, ...] = ()
    _cache: dict[tuple[int, ...], Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        everything = (self.op, *self.sources.values())
        self._used = tuple(s.variable for s in everything if s.variable is not None)

    def build(self, genotype: Genotype, channels: int | None = None) -> Block:
        """Return the block; `channels` overrides its source (derived parametrisations)."""
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

    def match(self, block: Block, claim: Callable[[ValueSource, Any, str], None]) -> None:
        """Claim the values that make this plan build `block` (see `StagePlan.match`).

        Raises:
            ValueError: when it cannot.
        """
        claim(self.op, block.family, "op")
        if block.stride != self.stride:
            raise ValueError(f"stride is {block.stride}, the space has {self.stride}")
        for item in dataclasses.fields(block):
            if item.name in ("op", "stride"):
                continue
            source = self.sources.get(item.name, ValueSource(item.default))
            claim(source, getattr(block, item.name), item.name)


@dataclass
class StagePlan:
    """One stage.

    Attributes:
        name: as in the document.
        depth: the number of blocks; None where a rule derives it.
        blocks: one plan for every possible block; the last one serves all that follow.
    """

    name: str
    depth: ValueSource | None
    blocks: list[BlockPlan]

    def block(self, index: int) -> BlockPlan:
        """Return the plan of one block."""
        return self.blocks[min(index, len(self.blocks) - 1)]

    def build(
        self, genotype: Genotype, derived: tuple[int, int] | None = None
    ) -> tuple[Block, ...]:
        """Return the stage's blocks; `derived` gives width and depth where a rule decides them."""
        width, depth = derived or (None, self.depth.get(genotype) if self.depth else 0)
        built = [plan.build(genotype, width) for plan in self.blocks[:depth]]
        return (*built, *[built[-1]] * (depth - len(built)))

    @property
    def used(self) -> tuple[int, ...]:
        """The variables that the stage depends on, each once."""
        everything = [self.depth] if self.depth else []
        for plan in self.blocks:
            everything += [plan.op, *plan.sources.values()]
        return tuple(dict.fromkeys(s.variable for s in everything if s.variable is not None))


def get_all(sources: dict[str, ValueSource], genotype: Genotype) -> dict[str, Any]:
    """Return the values of a record's fields in a network."""
    return {key: source.get(genotype) for key, source in sources.items()}


def claim_into(assignment: dict[int, int], variables: list[Variable]) -> Callable[..., None]:
    """Return a function that notes which value a source must have, and refuses contradictions."""

    def claim(source: ValueSource, value: Any, what: str) -> None:
        if source.variable is None:
            if source.value != value:
                raise ValueError(f"{what} is {_show(value)}, the space has {_show(source.value)}")
            return
        variable = variables[source.variable]
        if value not in variable.values:
            raise ValueError(
                f"{what} is {_show(value)}, not among the {len(variable.values)} choices of "
                f"{variable.name}: {_show_some(variable.values)}"
            )
        index = variable.values.index(value)
        if assignment.setdefault(source.variable, index) != index:
            other = variable.values[assignment[source.variable]]
            raise ValueError(
                f"{what} is {_show(value)}, but {variable.name} is {_show(other)} elsewhere in "
                "the network"
            )

    return claim


def _show(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _show_some(values: tuple[Any, ...], most: int = 8) -> str:
    shown = ", ".join(map(_show, values[:most]))
    return shown + (", ..." if len(values) > most else "")
