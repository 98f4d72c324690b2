"""Space: a set of networks that can be sampled, encoded, varied and searched."""

from __future__ import annotations

import dataclasses
import math
import numbers
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NoReturn

import numpy as np

from nas.cost import Cost
from nas.document import Document, parse_document
from nas.errors import MixnasError
from nas.limits import Limit
from nas.space.compile import Plans, compile_document
from nas.space.counting import CostTables, Counter
from nas.space.derive import RegNetRule
from nas.space.identity import Effects, genotype_of
from nas.space.loader import find_document, short_name
from nas.space.plan import get_all, network_stages
from nas.space.variables import INACTIVE, Genotype, Label, Variable, truth
from nas.spec import Head, Input, NetworkSpec, Stem
from nas.units import number_of


class Space:
    """A search space: variables, and how their values determine a network.

    Attributes:
        name: Name in the document, or else that of its file.
        description: One-line description.
        num_classes: Number of classes of the networks.
        variables: Variables in document order.
        restrictions: Conditions between variables that every member satisfies.
        limits: Limits on costs that the document sets.
        sections: Positions of the variables of every stage or other section of the document.
    """

    def __init__(self, plans: Plans) -> None:
        """Create a space from a compiled document; see `load_space`."""
        self.name = plans.name
        self.description = plans.description
        self.num_classes = plans.num_classes
        self.variables: tuple[Variable, ...] = tuple(plans.variables)
        self.restrictions = tuple(plans.restrictions)
        self.limits: tuple[Limit, ...] = tuple(plans.limits)
        self._plans = plans
        self._counter = Counter(plans)
        self.effects = Effects(plans)
        self._index = {v.name: i for i, v in enumerate(self.variables)}
        # Most variables depend on a single depth, which is quicker to evaluate.
        masks = [(i, v.depth_mask) for i, v in enumerate(self.variables)]
        self._depth_masks = [(i, *mask) for i, mask in masks if mask is not None]
        self._conditional = [
            (i, self.variables[i]) for i, mask in masks if mask is None and self.variables[i].sites
        ]
        self._sizes = [len(v.values) for v in self.variables]
        self._labels = [{label: i for i, label in enumerate(v.labels)} for v in self.variables]
        sections: dict[str, list[int]] = {}
        for i, variable in enumerate(self.variables):
            sections.setdefault(variable.name.partition(".")[0], []).append(i)
        self.sections = list(sections.values())
        self._cumulative = {
            i: list(accumulate(v.weights)) for i, v in enumerate(self.variables) if v.weights
        }

    @property
    def rule(self) -> RegNetRule | None:
        """The rule that derives widths and depths from a few numbers, as in RegNet, if any."""
        return self._plans.rule

    @property
    def input_channels(self) -> tuple[int, ...]:
        """Numbers of input channels that the networks of the space can have."""
        source = self._plans.input.get("channels")
        return source.options if source else (Input().channels,)

    @property
    def assignments(self) -> int:
        """Number of assignments of all variables, whether or not they have an effect."""
        return math.prod(self._sizes)

    @property
    def cost_tables(self) -> CostTables | None:
        """Tables that give the costs of thousands of networks at once; None if there are none."""
        return self._counter.tables

    def index(self, name: str) -> int:
        """Return the position of a variable in a genotype."""
        return self._index[name]

    # -- genotypes --------------------------------------------------------------------------

    def canonical(self, genotype: Sequence[int], fill: random.Random | None = None) -> Genotype:
        """Return the genotype that stands for all genotypes of the same network.

        Exactly the variables without effect are inactive, and of several values with the same
        effect, the first is chosen.

        Args:
            genotype: An index (or `INACTIVE`) for every variable.
            fill: Random number generator for the values of active variables that have none; without
                it they take their first value.
        """
        result = list(genotype)
        for i, size in enumerate(self._sizes):
            if result[i] == INACTIVE:
                result[i] = self._draw_value(i, size, fill) if fill else 0
        self._deactivate(result)
        return tuple(result)

    def _draw_value(self, i: int, size: int, rng: random.Random) -> int:
        if i in self._cumulative:
            return rng.choices(range(size), cum_weights=self._cumulative[i])[0]
        return rng.randrange(size)

    def _deactivate(self, genotype: list[int]) -> None:
        """Make a genotype canonical, in place."""
        self._deactivate_missing(genotype)
        while self.effects.settle(genotype):
            self._deactivate_missing(genotype)

    def _deactivate_missing(self, genotype: list[int]) -> None:
        """Mark variables whose blocks or families do not exist as inactive, in place."""
        for i, parent, mask in self._depth_masks:
            if not mask[genotype[parent]]:
                genotype[i] = INACTIVE
        for i, variable in self._conditional:
            if not variable.active(genotype):
                genotype[i] = INACTIVE

    def draw(self, rng: random.Random) -> Genotype:
        """Return a genotype drawn variable by variable, ignoring restrictions and limits."""
        uniform = rng.random
        genotype = [int(uniform() * size) for size in self._sizes]
        for i, cumulative in self._cumulative.items():
            genotype[i] = rng.choices(range(self._sizes[i]), cum_weights=cumulative)[0]
        self._deactivate(genotype)
        return tuple(genotype)

    def draw_full(self, generator: np.random.Generator, number: int) -> np.ndarray:
        """Return indices of all variables as `draw` draws them, shape (number, variables).

        Variables without effect have an index, too; `canonical` marks them.
        """
        # Column by column in memory, as it is read.
        drawn = generator.random((len(self._sizes), number)) * np.array(self._sizes)[:, None]
        full: np.ndarray = drawn.astype(int).T
        for i, cumulative in self._cumulative.items():
            places = generator.random(number) * cumulative[-1]
            found = np.searchsorted(cumulative, places, side="right")
            full[:, i] = np.minimum(found, self._sizes[i] - 1)
        return full

    def values(self, genotype: Genotype) -> dict[str, Any]:
        """Return the value of every active variable, by name."""
        return {
            v.name: v.values[index]
            for v, index in zip(self.variables, genotype, strict=True)
            if index != INACTIVE
        }

    def broken(self, genotype: Genotype) -> list[str]:
        """Return the text of every broken restriction; those on inactive variables always hold.

        That every block can be built is a restriction of every space.
        """
        result = []
        if self.restrictions:
            values = self.values(genotype)
            for restriction in self.restrictions:
                active = all(name in values for name in restriction.names)
                if active and not restriction.holds(values):
                    result.append(restriction.text)
        rule = self._plans.rule
        if rule is not None and rule.apply(genotype) is None:
            result.append(f"the derived widths have {number_of(rule.stages, 'stage')}")
        return result + self.effects.misfits(genotype)

    def to_params(self, genotype: Genotype) -> dict[str, Label | None]:
        """Return the label of every variable's value, None if inactive; see `from_params`."""
        return {
            v.name: None if index == INACTIVE else v.labels[index]
            for v, index in zip(self.variables, genotype, strict=True)
        }

    def from_params(self, params: Mapping[str, Any]) -> Genotype:
        """Return the genotype of labels by variable name, ignoring those of inactive variables.

        Raises:
            MixnasError: If a label is unknown, or an active variable has none.
        """
        genotype = []
        for variable, labels in zip(self.variables, self._labels, strict=True):
            value = _as_written(params.get(variable.name), variable)
            if value is not None and value not in labels:
                raise MixnasError(
                    f"'{value}' is not a value of {variable.name}; allowed: "
                    f"{', '.join(map(str, labels))}"
                )
            genotype.append(INACTIVE if value is None else labels[value])
        result = self.canonical(genotype)
        for variable, given, index in zip(self.variables, genotype, result, strict=True):
            if index != INACTIVE and given == INACTIVE:
                raise MixnasError(f"{variable.name} is active but has no value")
        return result

    # -- networks ---------------------------------------------------------------------------

    def decode(self, genotype: Genotype, name: str = "") -> NetworkSpec:
        """Return the network of a genotype.

        Raises:
            MixnasError: If the derived widths do not have as many stages as the space.
        """
        plans = self._plans
        derived = plans.derived(genotype)
        built = [
            stage.build(genotype, derived and (derived[0][i], derived[1][i]))
            for i, stage in enumerate(plans.stages)
        ]
        groups = network_stages(plans.stages)
        return NetworkSpec(
            stem=Stem(**get_all(plans.stem, genotype)),
            stages=tuple(tuple(block for i in group for block in built[i]) for group in groups),
            head=Head(**get_all(plans.head, genotype)),
            input=Input(**get_all(plans.input, genotype)),
            num_classes=self.num_classes,
            padding=plans.padding,
            norm=plans.norm,
            name=name,
        )

    def cost(self, genotype: Genotype) -> Cost:
        """Return the exact costs of a genotype's network, equal to `nas.cost.count` of its spec.

        The costs of stages are cached, so that networks that share most of them are cheap to count.

        Raises:
            MixnasError: If the derived widths do not have as many stages as the space, or a block
                is not compatible with its input channels.
        """
        return self._counter.cost(genotype)

    def encode_spec(self, spec: NetworkSpec) -> Genotype:
        """Return the canonical genotype of a network, the inverse of `decode`.

        The number of classes and the name are ignored, and so is what has no effect.

        Raises:
            MixnasError: If the network is not a member, saying in which part.
        """
        try:
            found = genotype_of(spec, self._plans)
        except MixnasError as error:
            self._outside(spec, str(error))
        result = self.canonical(found)
        if broken := self.broken(result):
            self._outside(spec, f"it breaks the restriction {broken[0]}")
        return result

    def contains(self, spec: NetworkSpec) -> bool:
        """Return whether a network is a member; the error of `encode_spec` says why not."""
        try:
            self.encode_spec(spec)
        except MixnasError:
            return False
        return True

    def with_classes(self, num_classes: int) -> Space:
        """Return the same space for another number of classes."""
        copy = Space(dataclasses.replace(self._plans, num_classes=num_classes))
        copy.name = self.name
        return copy

    def _outside(self, spec: NetworkSpec, reason: str) -> NoReturn:
        raise MixnasError(f"'{spec.name or 'the network'}' is not in '{self.name}': {reason}")

    # -- moves ------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield every other network that differs in the value of one active variable, once.

        Variables that become active take their first value. Only genotypes that satisfy the
        restrictions are yielded; limits are ignored.
        """
        seen = {genotype}
        for i, index in enumerate(genotype):
            if index == INACTIVE:
                continue
            for other in range(self._sizes[i]):
                if other != index:
                    changed = self.canonical((*genotype[:i], other, *genotype[i + 1 :]))
                    if changed not in seen and not self.broken(changed):
                        yield changed
                    seen.add(changed)

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Return a genotype with one random active variable changed, ignoring restrictions."""
        active = [i for i, x in enumerate(genotype) if x != INACTIVE and self._sizes[i] > 1]
        if not active:
            return genotype
        i = rng.choice(active)
        other = rng.randrange(self._sizes[i] - 1)
        other += other >= genotype[i]
        return self.canonical((*genotype[:i], other, *genotype[i + 1 :]), rng)

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """Return a genotype with each variable from a random parent, ignoring restrictions."""
        child = []
        for a, b in zip(one, two, strict=True):
            first, second = (a, b) if rng.random() < 0.5 else (b, a)
            child.append(second if first == INACTIVE else first)
        return self.canonical(child, rng)


def _as_written(value: Any, variable: Variable) -> Any:
    """Return a value in a table as the label that it was written as."""
    if isinstance(value, numbers.Real) and variable.kind == "kernels":
        return f"{value:g}"  # tables read 3.5, which is 3x3 and 5x5, as a number
    if isinstance(value, bool | np.bool_) and value not in variable.labels:
        return truth(bool(value))  # of a table that has no other texts
    return value


def load_space(name: str) -> Space:
    """Return a space by its name, a YAML file's path, or ``around:`` and a network.

    Examples:
        >>> space = load_space("mixnet")
        >>> len(space.variables)
        61
        >>> load_space("around:mobilenet_v2").name
        'around-mobilenet_v2'

    Raises:
        DocumentError: If there is no such space, or its document is not valid.
    """
    space = space_from_document(find_document(name))
    space.name = space.name or short_name(name)
    return space


def space_from_document(document: Document) -> Space:
    """Return the space that a parsed document describes.

    Raises:
        DocumentError: If the document is not valid.
    """
    return Space(compile_document(document))


def space_from_yaml(text: str) -> Space:
    """Return the space that YAML text describes, without support for `extends`."""
    return space_from_document(parse_document(text, "<text>"))
