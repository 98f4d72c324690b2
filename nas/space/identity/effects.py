"""Variables without effect, equal values, and networks that cannot be built.

Every network of a space has one canonical genotype: a variable whose values all lead to the same
layer tree is inactive, and of several values with the same effect, the first stands for all.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

from nas.blocks.ends import HEAD_CONTEXT, Head
from nas.space.compile import Plans
from nas.space.identity.uses import Impossible, Place, Use
from nas.space.plan import ValueSource, get_all, used_variables
from nas.space.variables import INACTIVE, Assignment

_CACHE = 100_000
Assigned = MutableSequence[int] | MutableMapping[int, int]


@dataclass(frozen=True)
class HeadUse:
    """A field of the head that has no effect beside some values of the others.

    Attributes:
        sources: Source of each field of the head that the space sets.
        name: Name of the field, one of those in `HEAD_CONTEXT`.
    """

    sources: dict[str, ValueSource]
    name: str

    @property
    def _deciding(self) -> dict[str, ValueSource]:
        """The sources of the fields that decide whether the field has an effect."""
        names = HEAD_CONTEXT[self.name]
        return {name: self.sources[name] for name in names if name in self.sources}

    @property
    def scope(self) -> frozenset[int]:
        """See `Use.scope`."""
        return frozenset(used_variables([self.sources[self.name], *self._deciding.values()]))

    def effect(self, assignment: Assignment) -> Hashable:
        """See `Use.effect`."""
        idle = self.name in Head(**get_all(self._deciding, assignment)).idle
        return None if idle else self.sources[self.name].get(assignment)

    def varies(self) -> bool:
        """Return whether the field has no effect in some networks."""
        deciding = self._deciding
        options = [
            # Of numbers and lists, only whether they are 0 or empty matters.
            {option if isinstance(option, str) else bool(option): option for option in all_options}
            for all_options in (source.options for source in deciding.values())
        ]
        return any(
            self.name in Head(**dict(zip(deciding, values, strict=True))).idle
            for values in itertools.product(*(some.values() for some in options))
        )


class Effects:
    """What the variables of a space contribute to its networks.

    Attributes:
        equal: Positions of the variables whose values may have no effect, or equal ones.
        families: Positions of the variables that choose between families with blocks in common.
        risky: Uses whose value may be impossible, in the first block of several with equal ones.
    """

    def __init__(self, plans: Plans) -> None:
        """Analyze a compiled document."""
        self._plans = plans
        self._uses: dict[int, list[Use | HeadUse]] = defaultdict(list)
        families: dict[int, list[Use]] = defaultdict(list)
        equal: set[int] = set()
        self.risky: list[Use] = []
        for place in _places(plans):
            for name in place.fields:
                source = place.plan.sources.get(name, ValueSource())
                use = Use(place, name)
                may_equal, may_fail = use.varies()
                if may_fail and not any(use.follows(other) for other in self.risky):
                    self.risky.append(use)
                if source.variable is not None:
                    self._uses[source.variable].append(use)
                    if may_equal or plans.rule is not None:  # derived depths decide on existence
                        equal.add(source.variable)
            op = place.plan.op
            if op.variable is not None and {"mbconv", "dsconv"} <= set(op.options):
                use = Use(place, "op")
                families[op.variable].append(use)
        heads = self._head_uses()
        for i, head in heads.items():
            self._uses[i] += head
            equal.add(i)
        visible = self._always_visible(heads)
        rule = plans.rule.used if plans.rule else frozenset()
        self.families = {
            i: uses for i, uses in families.items() if any(use.varies()[0] for use in uses)
        }
        self.equal = tuple(sorted(equal - visible - rule))
        self._scopes: dict[int, tuple[tuple[int, ...], dict[tuple[int, ...], int]]] = {
            i: (tuple(sorted(self.scope(i))), {}) for i in self.equal
        }
        self._fixed = rule & (visible | set(self._uses))  # the rule's, but seen elsewhere, too
        names = {plans.variables[i].name for i in rule}
        self._conditions = [r for r in plans.restrictions if names.issuperset(r.names)]
        self._parameters: dict[tuple[Any, ...], dict[int, int]] = {}

    def _head_uses(self) -> dict[int, list[HeadUse]]:
        """Return the fields of the head that may have no effect, by their variables."""
        uses: dict[int, list[HeadUse]] = defaultdict(list)
        for name in HEAD_CONTEXT:
            source = self._plans.head.get(name)
            if source is not None and source.variable is not None:
                use = HeadUse(self._plans.head, name)
                if use.varies():
                    uses[source.variable].append(use)
        return uses

    def _always_visible(self, heads: dict[int, list[HeadUse]]) -> set[int]:
        """Return the positions of the variables that every network shows.

        Args:
            heads: The fields of the head that a network may not show, by their variables.
        """
        plans = self._plans
        hidden = {use.name for uses in heads.values() for use in uses}
        sources = [*plans.stem.values(), *plans.input.values()]
        sources += [source for key, source in plans.head.items() if key not in hidden]
        for stage in plans.stages:
            sources += [stage.depth] if stage.depth else []
            for plan in stage.blocks:
                sources += [plan.op, *(s for n, s in plan.sources.items() if n == "channels")]
        return set(used_variables(sources))

    @property
    def seen(self) -> frozenset[int]:
        """Positions of the rule's variables that networks show besides widths and depths."""
        return self._fixed

    def scope(self, i: int) -> frozenset[int]:
        """Return the positions of the variables that the effect of variable i depends on."""
        uses: Sequence[Use | HeadUse] = self.families.get(i) or self._uses[i]
        return frozenset().union(*(use.scope for use in uses)) | {i}

    def settle(self, assigned: Assigned) -> bool:
        """Replace values by canonical ones, in place; return whether a block family changed.

        The variables that never exist in the network must be inactive.
        """
        if self._plans.rule is not None:
            for i, index in self.canonical_parameters(assigned).items():
                assigned[i] = index
        for i in self.families:
            family = self.canonical_family(i, assigned)
            if family != assigned[i]:
                assigned[i] = family
                return True
        for i in self.equal:
            if assigned[i] != INACTIVE:
                assigned[i] = self.canonical_index(i, assigned)
        return False

    def canonical_index(self, i: int, assigned: Assigned) -> int:
        """Return the first value of variable i with the effect of its own, or `INACTIVE`.

        Args:
            i: Position of the variable, one of those in `equal`.
            assigned: Values of at least the variables in its scope.
        """
        scope, known = self._scopes[i]
        key = tuple([assigned[k] for k in scope])
        if key not in known:
            if len(known) >= _CACHE:
                known.clear()
            known[key] = self._canonical_index(i, assigned)
        return known[key]

    def _canonical_index(self, i: int, assigned: Assigned) -> int:
        own = assigned[i]
        effects = []
        for index in range(len(self._plans.variables[i].values)):
            assigned[i] = index
            effects.append([use.effect(assigned) for use in self._uses[i]])
        assigned[i] = own
        mine = effects[max(own, 0)]
        if all(effect is None for effect in mine):
            return INACTIVE
        if len(effects) > 1 and all(effect == mine for effect in effects):
            return INACTIVE
        return effects.index(mine)

    def canonical_family(self, i: int, assigned: Assigned) -> int:
        """Return the value of a variable in `families` that stands for equal block families."""
        found = {use.effect(assigned) for use in self.families[i]} - {None}
        options = self._plans.variables[i].values
        if len(found) == 1:
            (family,) = found
            if family in options:
                return options.index(family)
        return assigned[i]

    def canonical_parameters(self, assigned: Assignment) -> dict[int, int]:
        """Return the first parameters of the rule with the widths and depths of the given ones.

        Parameters that satisfy the restrictions between them come before those that do not.
        """
        rule = self._plans.rule
        assert rule is not None
        own = {i: assigned[i] for i in rule.used}
        derived = rule.apply(assigned)
        if derived is None:
            return own
        key = (derived, *(own[i] for i in sorted(self._fixed)))
        if key not in self._parameters:
            if len(self._parameters) >= _CACHE:
                self._parameters.clear()
            equal = rule.parameters(*derived, {i: (own[i],) for i in self._fixed})
            first = next(equal, own)
            allowed = itertools.chain([first], equal)
            self._parameters[key] = next(filter(self._holds, allowed), first)
        return self._parameters[key]

    def _holds(self, parameters: dict[int, int]) -> bool:
        variables = self._plans.variables
        values = {variables[i].name: variables[i].values[n] for i, n in parameters.items()}
        return all(restriction.holds(values) for restriction in self._conditions)

    def misfits(self, assignment: Assignment) -> list[str]:
        """Return why blocks cannot be built; empty if the network can."""
        effects = ((use, use.effect(assignment)) for use in self.risky)
        found = (
            f"stage {use.place.name}: {effect.reason}"
            for use, effect in effects
            if isinstance(effect, Impossible)
        )
        return list(dict.fromkeys(found))


def _places(plans: Plans) -> list[Place]:
    """Return every position with a plan of its own; the last one stands for all further blocks."""
    places = []
    inputs = plans.stem["channels"]
    for i, stage in enumerate(plans.stages):
        for j, plan in enumerate(stage.blocks):
            places.append(
                Place(
                    stage=i,
                    name=stage.name,
                    position=j,
                    plan=plan,
                    depth=stage.depth,
                    inputs=plan.sources["channels"] if j and not plans.rule else inputs,
                    rule=plans.rule,
                )
            )
        if plans.rule is None:
            inputs = stage.blocks[-1].sources["channels"]
    return places
