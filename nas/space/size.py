"""The exact number of networks in a space.

Variables are assigned one at a time, those that others depend on first. For every combination of
the values that later variables still depend on, the number of assignments that lead to it is kept.
This is the sum-product algorithm on a junction tree, without building the tree. Independent groups
of variables are counted separately and multiplied.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nas.errors import MixnasError
from nas.space.counting.derived import DerivedCount
from nas.space.identity.uses import Impossible, Use
from nas.space.restrictions import Restriction
from nas.space.space import Space
from nas.space.variables import INACTIVE

MAX_STATES = 2_000_000  # some seconds
_MAX_EFFORT = 4  # times as many; restrictions usually leave a fraction of them
State = tuple[int, ...]
Assigned = dict[int, int]
"""The index of a variable's value (or `INACTIVE`), by the variable's position."""


@dataclass(frozen=True)
class Condition:
    """What a canonical genotype of a network that can be built satisfies.

    Attributes:
        scope: Positions of the variables that it is about.
        holds: Whether an assignment of at least these variables satisfies it.
    """

    scope: frozenset[int]
    holds: Callable[[Assigned], bool]


def size(space: Space) -> int:
    """Return the number of networks that can be built and satisfy the restrictions.

    Networks with the same layer tree count once. Limits are ignored.

    Raises:
        MixnasError: If too many variables depend on each other.
    """
    conditions = [*admissions(space), *_canonical(space)]
    if any(not condition.scope and not condition.holds({}) for condition in conditions):
        return 0  # a block that cannot be built is in every network
    conditions = [condition for condition in conditions if condition.scope]
    total = 1
    for group in _groups(space, conditions):
        derived = _derived(space, group)
        if derived is None:
            total *= _count(space, group, [c for c in conditions if c.scope & set(group)])
        else:
            total *= derived.count()
    return total


def size_or_bound(space: Space) -> tuple[int, bool]:
    """Return the number of networks, or an upper bound, and whether it is exact."""
    try:
        return size(space), True
    except MixnasError:
        return upper_bound(space), False


def size_text(number: int, exact: bool) -> str:
    """Return a size, or an upper bound, as text."""
    text = f"{number:,}" if number < 1e9 else f"{float(number):.3g}"
    return text if exact else f"at most {text}"


def upper_bound(space: Space) -> int:
    """Return the number of assignments, ignoring conditions and restrictions."""
    return math.prod(len(variable.values) for variable in space.variables)


def admissions(space: Space) -> list[Condition]:
    """Return the conditions that restrictions and the blocks make on canonical genotypes."""
    conditions = [_restriction(space, restriction) for restriction in space.restrictions]
    conditions += [Condition(use.scope, partial(_possible, use)) for use in space.effects.risky]
    rule = space.rule
    if rule is not None:
        conditions.append(Condition(rule.used, lambda a: rule.apply(a) is not None))
    return conditions


def independent_groups(space: Space) -> list[list[int]]:
    """Return the positions of the variables of every group, in order.

    Whether the values of a group are admitted, and which are the canonical ones, does not depend on
    the values of the other groups.
    """
    return _groups(space, [*admissions(space), *_canonical(space)])


def _canonical(space: Space) -> list[Condition]:
    """Return the conditions that leave one genotype of every network."""
    effects = space.effects
    conditions = [Condition(effects.scope(i), partial(_first, space, i)) for i in effects.equal]
    conditions += [
        Condition(effects.scope(i), partial(_own_family, space, i)) for i in effects.families
    ]
    rule = space.rule
    if rule is not None:
        conditions.append(
            Condition(
                rule.used,
                lambda a: all(a[i] == n for i, n in effects.canonical_parameters(a).items()),
            )
        )
    return conditions


def _possible(use: Use, assigned: Assigned) -> bool:
    return not isinstance(use.effect(assigned), Impossible)


def _own_family(space: Space, i: int, assigned: Assigned) -> bool:
    return space.effects.canonical_family(i, assigned) == assigned[i]


def _first(space: Space, i: int, assigned: Assigned) -> bool:
    """Return whether a variable has the value that stands for all with the same effect."""
    given = {**assigned, i: max(assigned[i], 0)}
    return space.effects.canonical_index(i, given) == assigned[i]


def _restriction(space: Space, restriction: Restriction) -> Condition:
    positions = {name: space.index(name) for name in restriction.names}

    def holds(assigned: Assigned) -> bool:
        values = {}
        for name, i in positions.items():
            if assigned[i] == INACTIVE:
                return True  # a restriction on an inactive variable holds
            values[name] = space.variables[i].values[assigned[i]]
        return restriction.holds(values)

    return Condition(frozenset(positions.values()), holds)


def _groups(space: Space, conditions: list[Condition]) -> list[list[int]]:
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
    for condition in conditions:
        for other in condition.scope:
            leader[find(other)] = find(min(condition.scope))
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(space.variables)):
        groups[find(i)].append(i)
    return list(groups.values())


def _derived(space: Space, group: list[int]) -> DerivedCount | None:
    """Return what counts a group with all variables of the space's rule and no others, if any."""
    rule, effects = space.rule, space.effects
    if rule is None or rule.used != {*group}:
        return None
    if any(space.index(name) in rule.used for r in space.restrictions for name in r.names):
        return None
    if effects.equal or effects.families:
        return None
    risky = [use for use in effects.risky if use.scope & rule.used]
    derived = DerivedCount(rule, risky, effects.seen)
    return derived if derived.possible else None


def _count(space: Space, group: list[int], conditions: list[Condition]) -> int:
    """Return the number of assignments of one group of variables."""
    orders = [_order(space, group, conditions, greedy) for greedy in (True, False)]
    order = min(orders, key=lambda order: _effort(space, order))
    if _effort(space, order) > _MAX_EFFORT * MAX_STATES:
        raise _uncountable(space)
    kept: tuple[int, ...] = ()
    states: dict[State, int] = {(): 1}
    done: set[int] = set()
    for i, needed in order:
        done.add(i)
        due = [c for c in conditions if i in c.scope and c.scope <= done]
        states = _advance(space, states, i, kept=kept, due=due, needed=needed)
        kept = needed
    return sum(states.values())


def _order(
    space: Space, group: list[int], conditions: list[Condition], greedy: bool
) -> list[tuple[int, tuple[int, ...]]]:
    """Return the variables in the order to assign them, and those to remember after each.

    Args:
        space: The space.
        group: Positions of the variables.
        conditions: The conditions on them.
        greedy: Whether the next variable is the one after which there are the fewest combinations
            to remember, rather than the next one of the document.
    """
    order: list[tuple[int, tuple[int, ...]]] = []
    done: set[int] = set()
    while len(done) < len(group):
        ready = [i for i in group if i not in done and space.variables[i].parents <= done]
        options = [(i, _needed(space, group, done | {i}, conditions)) for i in ready]
        if greedy:
            options.sort(key=lambda option: _combinations(space, option[1]))
        order.append(options[0])
        done.add(options[0][0])
    return order


def _needed(
    space: Space, group: list[int], done: set[int], conditions: list[Condition]
) -> tuple[int, ...]:
    """Return the assigned variables that others, or conditions not yet due, depend on."""
    needed: set[int] = set()
    for i in group:
        if i not in done:
            needed |= space.variables[i].parents & done
    for condition in conditions:
        if not condition.scope <= done:
            needed |= condition.scope & done
    return tuple(sorted(needed))


def _combinations(space: Space, positions: tuple[int, ...]) -> int:
    return math.prod(len(space.variables[i].values) for i in positions)


def _effort(space: Space, order: list[tuple[int, tuple[int, ...]]]) -> int:
    """Return how many combinations an order of the variables goes through, at most."""
    kept: tuple[int, ...] = ()
    effort = 0
    for i, needed in order:
        effort += _combinations(space, (*kept, i))
        kept = needed
    return effort


def _advance(
    space: Space,
    states: dict[State, int],
    i: int,
    *,
    kept: tuple[int, ...],
    due: list[Condition],
    needed: tuple[int, ...],
) -> dict[State, int]:
    """Return the states after variable i has taken each of its values.

    Args:
        space: The space.
        states: Number of assignments that lead to every combination of values.
        i: Position of the variable.
        kept: Positions of the variables whose values the states hold, in order.
        due: Conditions that can be evaluated once the variable is assigned.
        needed: Positions of the assigned variables that later ones or conditions depend on.

    Raises:
        MixnasError: If there are more than `MAX_STATES` states.
    """
    variable = space.variables[i]
    if (due or i in needed) and len(states) * len(variable.values) > MAX_STATES:
        raise _uncountable(space)
    checks = [_remembered(condition) for condition in due]
    may_vanish = i in space.effects.equal
    result: dict[State, int] = defaultdict(int)
    for state, ways in states.items():
        assigned = dict(zip(kept, state, strict=True))
        active = variable.active(assigned)
        if not due and i not in needed:
            count = len(variable.values) if active else 1
            result[tuple([assigned[k] for k in needed])] += ways * count
            continue
        indices = range(len(variable.values)) if active else (INACTIVE,)
        for index in (*indices, INACTIVE) if active and may_vanish else indices:
            assigned[i] = index
            if all(check(assigned) for check in checks):
                result[tuple([assigned[k] for k in needed])] += ways
    return result


def _uncountable(space: Space) -> MixnasError:
    return MixnasError(
        f"the networks of '{space.name}' cannot be counted, because too many of its variables "
        f"depend on each other; there are at most {upper_bound(space):,}"
    )


def _remembered(condition: Condition) -> Callable[[Assigned], bool]:
    """Return a function like the condition's that evaluates every combination of values once."""
    known: dict[State, bool] = {}
    scope = tuple(condition.scope)

    def holds(assigned: Assigned) -> bool:
        key = tuple([assigned[k] for k in scope])
        if key not in known:
            known[key] = condition.holds(assigned)
        return known[key]

    return holds
