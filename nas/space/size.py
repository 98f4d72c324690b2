"""The exact number of networks in a space.

Variables are assigned one at a time, those that others depend on first. For every combination of
the values that later variables still depend on, the number of assignments that lead to it is kept.
This is the sum-product algorithm on a junction tree, without building the tree. Independent groups
of variables are counted separately and multiplied.
"""

from __future__ import annotations

from collections import defaultdict

from nas.errors import MixnasError
from nas.space.restrictions import Restriction
from nas.space.space import Space
from nas.space.variables import INACTIVE

MAX_STATES = 2_000_000
State = tuple[tuple[int, int], ...]
"""Pairs of a variable's position and the index of its value."""


def size(space: Space) -> int:
    """Return the number of distinct genotypes that satisfy the restrictions.

    Limits are ignored. Genotypes are counted rather than functions, so two genotypes that happen
    to compute the same function count twice.

    Raises:
        MixnasError: If widths are derived, or the restrictions couple too many variables.
    """
    if space.derived:
        raise MixnasError(
            f"the networks of '{space.name}' cannot be counted, because its widths are derived; "
            f"there are at most {upper_bound(space):,}"
        )
    total = 1
    for group in _groups(space):
        total *= _count(space, group)
    return total


def upper_bound(space: Space) -> int:
    """Return the number of assignments, ignoring conditions and restrictions."""
    total = 1
    for variable in space.variables:
        total *= len(variable.values)
    return total


def _groups(space: Space) -> list[list[int]]:
    """Return the positions of the variables of every independent group, in order."""
    leader = list(range(len(space.variables)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for i, variable in enumerate(space.variables):
        for parent in variable.parents:
            leader[find(i)] = find(parent)
    for restriction in space.restrictions:
        first, *others = (space.index(name) for name in restriction.names)
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(space.variables)):
        groups[find(i)].append(i)
    return list(groups.values())


def _count(space: Space, group: list[int]) -> int:
    """Return the number of assignments of one group of variables."""
    restrictions = [
        (restriction, {space.index(name) for name in restriction.names})
        for restriction in space.restrictions
        if any(space.index(name) in group for name in restriction.names)
    ]
    order = sorted(group, key=lambda i: (bool(space.variables[i].sites), i))
    states: dict[State, int] = {(): 1}
    for step, i in enumerate(order):
        later = order[step + 1 :]
        done = set(order[: step + 1])
        due = [restriction for restriction, names in restrictions if i in names and names <= done]
        needed = set().union(*(space.variables[j].parents for j in later)) & done
        for _, names in restrictions:
            if names & set(later):
                needed |= names & done
        states = _advance(space, states, i, due=due, needed=needed)
    return sum(states.values())


def _advance(
    space: Space,
    states: dict[State, int],
    i: int,
    *,
    due: list[Restriction],
    needed: set[int],
) -> dict[State, int]:
    """Return the states after variable i has taken each of its values.

    Args:
        space: The space.
        states: Number of assignments that lead to every combination of values.
        i: Position of the variable.
        due: Restrictions that can be evaluated once the variable is assigned.
        needed: Positions of the assigned variables that later ones or restrictions depend on.

    Raises:
        MixnasError: If there are more than `MAX_STATES` states.
    """
    variable = space.variables[i]
    if (due or i in needed) and len(states) * len(variable.values) > MAX_STATES:
        raise MixnasError(
            f"the networks of '{space.name}' cannot be counted, because its restrictions couple "
            "too many variables"
        )
    result: dict[State, int] = defaultdict(int)
    for state, ways in states.items():
        assigned = dict(state)
        active = variable.active(assigned)
        remaining = tuple((k, v) for k, v in state if k in needed)
        if not due and i not in needed:
            result[remaining] += ways * (len(variable.values) if active else 1)
            continue
        for index in range(len(variable.values)) if active else (INACTIVE,):
            assigned[i] = index
            if all(_holds(space, restriction, assigned) for restriction in due):
                result[(*remaining, (i, index)) if i in needed else remaining] += ways
    return result


def _holds(space: Space, restriction: Restriction, assigned: dict[int, int]) -> bool:
    values = {}
    for name in restriction.names:
        i = space.index(name)
        if assigned[i] == INACTIVE:
            return True  # a restriction on an inactive variable holds
        values[name] = space.variables[i].values[assigned[i]]
    return restriction.holds(values)
