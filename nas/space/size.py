"""The exact number of networks in a space.

Variables are taken one by one (those that others depend on first), keeping, for every combination
of the values that later ones still need, the number of ways to get there: the sum-product of a
junction tree, without the tree. Independent groups of variables are counted apart and multiplied.
"""

from __future__ import annotations

from collections import defaultdict

from nas.errors import MixnasError
from nas.space.restrictions import Restriction
from nas.space.space import Space
from nas.space.variables import Variable

MAX_STATES = 2_000_000


def size(space: Space) -> int:
    """Return the number of different genotypes that meet the restrictions; limits are not counted.

    A space is counted by its assignments, so two that happen to be the same function count twice.

    Raises:
        MixnasError: when the restrictions tie too many variables together to count.
    """
    if space.derived:
        raise MixnasError(
            f"the networks of '{space.name}' cannot be counted: its widths are derived; "
            f"it has at most {upper_bound(space):,} assignments"
        )
    total = 1
    for group in _groups(space):
        total *= _count(space, group)
    return total


def upper_bound(space: Space) -> int:
    """Return the number of assignments, conditions and restrictions not looked at."""
    total = 1
    for variable in space.variables:
        total *= len(variable.values)
    return total


def _parents(variable: Variable) -> set[int]:
    return {p for site in variable.sites for p in (site.depth, site.op) if p is not None}


def _groups(space: Space) -> list[list[int]]:
    """Return the indices of variables that depend on each other, in order, group by group."""
    leader = list(range(len(space.variables)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for i, variable in enumerate(space.variables):
        for parent in _parents(variable):
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
    """Count the assignments of one group."""
    restrictions = [
        (one, {space.index(name) for name in one.names})
        for one in space.restrictions
        if any(space.index(name) in group for name in one.names)
    ]
    order = sorted(group, key=lambda i: (bool(space.variables[i].sites), i))
    states: dict[tuple[tuple[int, int], ...], int] = {(): 1}
    for step, i in enumerate(order):
        later = order[step + 1 :]
        done = set(order[: step + 1])
        due = [r for r, names in restrictions if i in names and names <= done]
        needed = set().union(*(_parents(space.variables[j]) for j in later)) & done
        for _, names in restrictions:
            if names & set(later):
                needed |= names & done
        states = _advance(space, states, i, due, needed)
    return sum(states.values())


def _advance(
    space: Space,
    states: dict[tuple[tuple[int, int], ...], int],
    i: int,
    due: list[Restriction],
    needed: set[int],
) -> dict[tuple[tuple[int, int], ...], int]:
    """Give variable i every value, drop what breaks a restriction, forget what is not needed."""
    variable = space.variables[i]
    if (due or i in needed) and len(states) * len(variable.values) > MAX_STATES:
        raise MixnasError(f"the restrictions of '{space.name}' tie too many variables to count")
    result: dict[tuple[tuple[int, int], ...], int] = defaultdict(int)
    for state, ways in states.items():
        known = dict(state)
        active = not variable.sites or any(
            (s.depth is None or s.depths[known[s.depth]]) and (s.op is None or s.ops[known[s.op]])
            for s in variable.sites
        )
        kept = tuple((k, v) for k, v in state if k in needed)
        if not due and i not in needed:
            result[kept] += ways * (len(variable.values) if active else 1)
            continue
        for index in range(len(variable.values)) if active else (-1,):
            known[i] = index
            if all(_holds(space, restriction, known) for restriction in due):
                result[(*kept, (i, index)) if i in needed else kept] += ways
    return result


def _holds(space: Space, restriction: Restriction, known: dict[int, int]) -> bool:
    values = {}
    for name in restriction.names:
        i = space.index(name)
        if known[i] == -1:
            return True  # a restriction on an inactive variable holds
        values[name] = space.variables[i].values[known[i]]
    return restriction.holds(values)
