"""The variables of a space, and the genotype that assigns them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Genotype = tuple[int, ...]
"""One index into its values for every variable of a space; `INACTIVE` where it has no effect."""

INACTIVE = -1
Kind = Literal["kernels", "ordinal", "categorical"]
Label = str | int | float | bool


@dataclass(frozen=True)
class Site:
    """One place where a variable is used: block `index` of a stage, for some block families.

    Attributes:
        depth: the variable that decides the stage's depth, if one does.
        depths: for each of its values, whether the block exists.
        op: the variable that decides the block family, if one does.
        ops: for each of its values, whether the family has the field.
    """

    depth: int | None = None
    depths: tuple[bool, ...] = ()
    op: int | None = None
    ops: tuple[bool, ...] = ()

    @property
    def unconditional(self) -> bool:
        """Whether the place always exists."""
        return (self.depth is None or all(self.depths)) and (self.op is None or all(self.ops))

    def exists(self, genotype: Genotype | list[int]) -> bool:
        """Whether the place exists in a network."""
        return (self.depth is None or self.depths[genotype[self.depth]]) and (
            self.op is None or self.ops[genotype[self.op]]
        )


@dataclass(frozen=True)
class Variable:
    """One choice of a space.

    Attributes:
        name: as ``s2.first.kernels``.
        values: what can be chosen, in document order.
        weights: how often each value is drawn; None for equally.
        sites: where it is used; empty for everywhere. Without an existing site it is inactive.
    """

    name: str
    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None
    sites: tuple[Site, ...] = ()

    @cached_property
    def kind(self) -> Kind:
        """How its values relate: kernel mixes, numbers in order, or names."""
        if all(isinstance(value, tuple) for value in self.values):
            return "kernels"
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values)
        return "ordinal" if numeric else "categorical"

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Its values as a table or Optuna can hold them: a mix of kernels as ``3.5.7``."""
        return tuple(label(value) for value in self.values)

    @property
    def depths(self) -> tuple[int, tuple[bool, ...]] | None:
        """The one depth variable that decides whether it is active, and for which values."""
        if not self.sites or any(s.op is not None or s.depth is None for s in self.sites):
            return None
        first = self.sites[0].depth
        if first is None or any(site.depth != first for site in self.sites):
            return None
        masks = zip(*(site.depths for site in self.sites), strict=True)
        return first, tuple(any(mask) for mask in masks)

    def active(self, genotype: Genotype | list[int]) -> bool:
        """Whether its value has an effect, given the variables it depends on."""
        return not self.sites or any(site.exists(genotype) for site in self.sites)


def label(value: Any) -> Label:
    """Return a value as a table or Optuna can hold it."""
    return ".".join(map(str, value)) if isinstance(value, tuple) else value
