"""The variables of a space, and the genotypes that assign values to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from nas.blocks.fields import NO_KERNELS

Genotype = tuple[int, ...]
"""An index into its values for every variable of a space; `INACTIVE` for those without effect."""

Assignment = Sequence[int] | Mapping[int, int]
"""The index of each variable's value, by the variable's position; it may be partial."""

INACTIVE = -1
"""The index of a variable that has no effect in a genotype."""
Kind = Literal["kernels", "ordinal", "categorical"]
Label = str | int | float | bool


@dataclass(frozen=True)
class Site:
    """A field of one block that takes its value from a variable.

    The field exists only if the stage is deep enough and the block family has such a field.

    Attributes:
        depth: Position of the variable that decides the stage's depth; None if it is fixed.
        depths: For each value of that variable, whether the block exists.
        op: Position of the variable that decides the block family; None if it is fixed.
        ops: For each value of that variable, whether the family has the field.
    """

    depth: int | None = None
    depths: tuple[bool, ...] = ()
    op: int | None = None
    ops: tuple[bool, ...] = ()

    @property
    def unconditional(self) -> bool:
        """Whether the field exists in every network."""
        return (self.depth is None or all(self.depths)) and (self.op is None or all(self.ops))

    def exists(self, genotype: Assignment) -> bool:
        """Return whether the field exists, given at least the variables that decide it."""
        return (self.depth is None or self.depths[genotype[self.depth]]) and (
            self.op is None or self.ops[genotype[self.op]]
        )


@dataclass(frozen=True)
class Variable:
    """A choice of a space.

    Attributes:
        name: Name of the variable, such as ``s2.first.kernels``.
        values: Values to choose from, in document order.
        weights: Relative frequency with which each value is drawn; None for equal ones.
        sites: Fields that take their value from the variable, which is inactive if none of them
            exists; empty if it is always active.
    """

    name: str
    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None
    sites: tuple[Site, ...] = ()

    @cached_property
    def kind(self) -> Kind:
        """Kind of the values: mixes of kernel groups, ordered numbers, or unordered categories."""
        if all(isinstance(value, tuple) for value in self.values):
            return "kernels"
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values)
        return "ordinal" if numeric else "categorical"

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The values as a table or Optuna can hold them: a mix of kernels as text, ``3.5.7``.

        A column has one type: beside text, true and false are text, too.
        """
        labels = tuple(label(value) for value in self.values)
        if any(isinstance(name, str) for name in labels):
            return tuple(truth(name) if isinstance(name, bool) else name for name in labels)
        return labels

    @property
    def depth_mask(self) -> tuple[int, tuple[bool, ...]] | None:
        """A shortcut for `active` where a single depth variable decides; None elsewhere.

        It holds the position of that variable and, for each of its values, the result of `active`.
        """
        if not self.sites or any(s.op is not None or s.depth is None for s in self.sites):
            return None
        first = self.sites[0].depth
        if first is None or any(site.depth != first for site in self.sites):
            return None
        masks = zip(*(site.depths for site in self.sites), strict=True)
        return first, tuple(any(mask) for mask in masks)

    @property
    def parents(self) -> frozenset[int]:
        """Positions of the variables that decide whether this one is active."""
        deciding = (i for site in self.sites for i in (site.depth, site.op))
        return frozenset(i for i in deciding if i is not None)

    def active(self, genotype: Assignment) -> bool:
        """Return whether the value has an effect, given at least the variable's `parents`."""
        return not self.sites or any(site.exists(genotype) for site in self.sites)


def truth(value: bool) -> str:
    """Return true or false as text."""
    return "true" if value else "false"


def label(value: Any) -> Label:
    """Return a value as a table or Optuna can hold it (see `Variable.labels`).

    Tables leave the values of inactive variables empty, so no kernels have a word of their own.
    """
    return (".".join(map(str, value)) or NO_KERNELS) if isinstance(value, tuple) else value
