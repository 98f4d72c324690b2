"""Draws of which every independent group of variables is admitted by itself.

Where many restrictions each hold for a part of the draws, hardly any draw satisfies all of them.
But what a restriction says about some variables does not depend on the others, unless they share a
condition. So every such group is drawn by itself, among the values of it that are admitted: then
the draws have the distribution of `Space.draw` among the networks that satisfy the restrictions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nas.space.size import Condition, admissions, independent_groups
from nas.space.space import Space

TABLED = 5000  # assignments of a group that are few enough to look at each


class _Group(NamedTuple):
    """A group of variables that is drawn among its admitted values.

    Attributes:
        positions: Positions of the variables.
        rows: The admitted values, shape (rows, variables of the group).
        cumulative: How likely `Space.draw` makes the rows, summed up, shape (rows,).
    """

    positions: list[int]
    rows: np.ndarray
    cumulative: np.ndarray


class GroupDraws:
    """Draws from a space; groups of variables with many assignments are drawn as they come."""

    def __init__(self, space: Space) -> None:
        """Look at the assignments of every group that has conditions."""
        self._space = space
        conditions = [condition for condition in admissions(space) if condition.scope]
        sizes = [len(variable.values) for variable in space.variables]
        self._groups: list[_Group] = []
        for positions in independent_groups(space):
            own = [condition for condition in conditions if condition.scope <= {*positions}]
            if own and math.prod(sizes[i] for i in positions) <= TABLED:
                group = _admitted(space, positions, own)
                if len(group.rows):  # if nothing is admitted, the draws will show it
                    self._groups.append(group)

    @property
    def restrict(self) -> bool:
        """Whether any group is drawn among its admitted values."""
        return bool(self._groups)

    def blocks(self) -> list[list[int]]:
        """Return the positions of variables that can be redrawn apart from the others.

        They are the sections of the space, and groups that reach over several of them.
        """
        wide = [
            group.positions
            for group in self._groups
            if not any({*group.positions} <= {*section} for section in self._space.sections)
        ]
        apart = {i for positions in wide for i in positions}
        sections = [[i for i in section if i not in apart] for section in self._space.sections]
        return [block for block in (*sections, *wide) if block]

    def full(self, generator: np.random.Generator, number: int) -> np.ndarray:
        """Return indices of all variables, shape (number, variables); see `Space.draw_full`."""
        full = self._space.draw_full(generator, number)
        for group in self._groups:
            places = generator.random(number) * group.cumulative[-1]
            chosen = np.searchsorted(group.cumulative, places, side="right")
            full[:, group.positions] = group.rows[np.minimum(chosen, len(group.rows) - 1)]
        return full


@lru_cache(8)
def group_draws(space: Space) -> GroupDraws:
    """Return the draws from a space, which are prepared once."""
    return GroupDraws(space)


def _admitted(space: Space, positions: list[int], conditions: list[Condition]) -> _Group:
    """Return the values of a group of variables that satisfy the conditions."""
    variables = [space.variables[i] for i in positions]
    sizes = [len(variable.values) for variable in variables]
    table = np.indices(sizes).reshape(len(sizes), math.prod(sizes)).T
    rows = []
    for row in table.tolist():
        full = [0] * len(space.variables)
        for i, index in zip(positions, row, strict=True):
            full[i] = index
        genotype = dict(enumerate(space.canonical(full)))
        if all(condition.holds(genotype) for condition in conditions):
            rows.append(row)
    weights = [np.array(v.weights or [1.0] * len(v.values)) for v in variables]
    kept = np.array(rows, dtype=int).reshape(-1, len(positions))
    likelihoods = np.ones(len(kept))
    for column, weight in zip(kept.T, weights, strict=True):
        likelihoods *= weight[column]
    return _Group(positions, kept, np.cumsum(likelihoods))
