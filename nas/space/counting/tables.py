"""Exact costs of thousands of genotypes at once, from tables of the costs of blocks.

The costs of a network are sums over its blocks (peak memory is a maximum), and those of a block are
sums of terms that depend on few of its variables each: the kernels of a block, for example, change
its costs by an amount that depends on the expanded channels, but not on the number of groups of the
projection. Which variables interact is found by trying some values. The tables of the terms are
filled as they are used.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from nas.blocks import Rules
from nas.blocks.base import shape_after
from nas.blocks.ends import stem_part, tail_parts
from nas.cost import Cost, Count, tally
from nas.errors import MixnasError
from nas.ir import Shape
from nas.limits import COST_METRICS
from nas.space.compile import Plans
from nas.space.plan import ValueSource, get_all, used_variables
from nas.space.variables import Genotype
from nas.spec import Head, Input, Stem

JOINT = 2048  # combinations of values up to which variables share a table without any trials
LARGEST = 200_000  # combinations in one table
TRIALS = 16  # combinations of values by which interactions of two variables are found
CHECKED = 64  # networks whose costs are compared with the tables' before these are used
METRICS = len(COST_METRICS)
UNBUILDABLE = 1e30  # costs of a block that cannot be built; a finite number, since it is subtracted
CostsOf = Callable[[Mapping[int, int]], np.ndarray]
"""Maps the indices of some variables to the costs of a part of a network, shape (4,)."""


class NotTabulableError(Exception):
    """The costs of a space cannot be written as sums over small tables."""


class CostTables:
    """Costs of many genotypes of a space at once.

    The arguments are `full` genotypes: arrays of shape (genotypes, variables) with an index for
    every variable, whether or not it has an effect.
    """

    def __init__(self, plans: Plans) -> None:
        """Find the terms that the costs are sums of.

        Raises:
            NotTabulableError: If a rule derives the widths, or a part of the networks has too many
                variables that interact.
        """
        if plans.rule is not None:
            raise NotTabulableError
        self._plans = plans
        self._rules = Rules(plans.padding, plans.norm.eps, plans.norm.momentum)
        self._outer = used_variables((*plans.stem.values(), *plans.input.values()))
        self._parts = [_Part(self._stem, self._outer, plans)]
        channels = plans.stem.get("channels")
        for i, stage in enumerate(plans.stages):
            for j, plan in enumerate(stage.blocks):
                axes = (*self._outer, *used_variables((plan.op, *plan.sources.values())))
                if j == 0:
                    axes = (*_variable(channels), *axes)
                part = _Part(partial(self._block, i, j), axes, plans)
                part.repeats(stage.depth, j, last=j == len(stage.blocks) - 1)
                self._parts.append(part)
            channels = stage.blocks[-1].sources["channels"]
        axes = (*_variable(channels), *self._outer, *used_variables(plans.head.values()))
        self._parts.append(_Part(self._tail, axes, plans))

    def costs(self, full: np.ndarray, metric: str) -> np.ndarray:
        """Return one of the costs (a field of `nas.cost.Cost`) of every network.

        It is infinite for networks that cannot be built.

        Raises:
            NotTabulableError: If a part of the networks turns out to have no costs to compare with.
        """
        row = COST_METRICS.index(metric)
        total = np.zeros(len(full))
        for part in self._parts:
            costs, number = part.costs(full, row), part.number(full)
            if metric == "peak_memory":
                np.maximum(total, np.where(number > 0, costs, 0.0), out=total)
            else:
                total += costs * number
        if metric == "peak_memory":
            total *= 4  # bytes per element
        total[total >= UNBUILDABLE / 2] = np.inf
        return total

    # -- the parts of a network -------------------------------------------------------------

    def _stem(self, full: Genotype) -> Count:
        images = Input(**get_all(self._plans.input, full))
        stem = stem_part(Stem(**get_all(self._plans.stem, full)), images.channels, self._rules)
        shape = (images.channels, images.resolution, images.resolution)
        return tally([stem], self._rules, shape)

    def _block(self, stage: int, position: int, full: Genotype) -> Count:
        plan = self._plans.stages[stage].blocks[position]
        shape = self._shape_before(stage + (position > 0), full)
        return tally([plan.build(full)], self._rules, shape)

    def _tail(self, full: Genotype) -> Count:
        head = Head(**get_all(self._plans.head, full))
        shape = self._shape_before(len(self._plans.stages), full)
        parts = tail_parts(head, shape, self._plans.num_classes, self._rules)
        return tally((part for _, part in parts), self._rules, shape)

    def _shape_before(self, stage: int, full: Genotype) -> Shape:
        """Return the shape of the input of a stage: of all blocks, the first ones have strides."""
        shape = self._stem(full).shape
        for earlier in self._plans.stages[:stage]:
            plan = earlier.blocks[0]
            try:
                shape = shape_after(plan.build(full), shape, self._rules)
            except ValueError:  # with some value that matters to the costs of that block only
                sides = (-(-side // plan.stride) for side in shape[1:])
                shape = (plan.sources["channels"].get(full), *sides)
        return shape


def open_tables(plans: Plans, count: Callable[[Genotype], Cost]) -> CostTables | None:
    """Return tables that agree with exact costs, or None if there are none.

    Args:
        plans: Plans of the space.
        count: Function of the exact costs of a full genotype.
    """
    rng = np.random.default_rng(0)
    full = rng.integers(
        [len(v.values) for v in plans.variables], size=(CHECKED, len(plans.variables))
    )
    try:
        tables = CostTables(plans)
        found = np.column_stack([tables.costs(full, metric) for metric in COST_METRICS])
    except NotTabulableError:
        return None
    for genotype, costs in zip(full.tolist(), found, strict=True):
        try:
            exact = dataclasses.astuple(count(tuple(genotype)))
        except MixnasError:
            exact = (np.inf,) * METRICS
        unbuildable = not np.isfinite(exact).all()
        if np.isfinite(costs).all() == unbuildable or (not unbuildable and tuple(costs) != exact):
            return None
    return tables


class _Part:
    """The costs of a stem, a block or a tail as a sum of tables."""

    def __init__(
        self, count: Callable[[Genotype], Count], axes: Iterable[int], plans: Plans
    ) -> None:
        """Split the costs into terms.

        Args:
            count: Function of the costs, which depends on some variables of a full genotype.
            axes: Positions of those variables, with repetitions.
            plans: Plans of the space.

        Raises:
            NotTabulableError: If a term depends on too many combinations of values.
        """
        self._count = count
        self._length = len(plans.variables)
        self._sizes = {i: len(plans.variables[i].values) for i in dict.fromkeys(axes)}
        self._known: dict[Genotype, np.ndarray] = {}
        self._depth: ValueSource | None = None
        self._numbers = np.ones(1)
        rng = random.Random(0)
        axes = [i for i in self._sizes if self._matters(rng, i)]
        self._terms: list[_Term] = []
        while math.prod(self._sizes[i] for i in axes) > JOINT:
            largest = max(axes, key=lambda i: self._sizes[i])
            axes.remove(largest)
            involved = [i for i in axes if self._interact(rng, largest, i, axes)]
            self._terms.append(_Term([largest, *involved], self._sizes, differs=True))
        self._terms.append(_Term(axes, self._sizes))

    def repeats(self, depth: ValueSource | None, position: int, last: bool) -> None:
        """Tell how often a block is repeated: by the depth of its stage and its position there."""
        self._depth = depth
        depths = depth.options if depth else (1,)
        self._numbers = np.array([
            max(0, n - position) if last and position else int(n > position) for n in depths
        ])  # fmt: skip

    def number(self, full: np.ndarray) -> np.ndarray:
        """Return how often each network has the part, shape (genotypes,)."""
        if self._depth is None or self._depth.variable is None:
            return np.full(len(full), self._numbers[0])
        return np.asarray(self._numbers[full[:, self._depth.variable]])

    def costs(self, full: np.ndarray, metric: int) -> np.ndarray:
        """Return one of the costs of the part, shape (genotypes,)."""
        total = np.zeros(len(full))
        for term in self._terms:
            total += term.values(full, metric, self._evaluate)
        return total

    def _evaluate(self, values: Mapping[int, int]) -> np.ndarray:
        """Return the costs for the values of some variables; the others take their first."""
        full = [0] * self._length
        for i, index in values.items():
            full[i] = index
        key = tuple(full[i] for i in self._sizes)
        if key not in self._known:
            if len(self._known) > LARGEST:
                self._known.clear()
            try:
                *counts, _ = self._count(tuple(full))
                costs = np.array(counts, dtype=float)
            except ValueError:  # a block is not compatible with its input channels
                costs = np.full(METRICS, UNBUILDABLE, dtype=float)
            self._known[key] = costs
        return self._known[key]

    def _matters(self, rng: random.Random, variable: int) -> bool:
        """Return whether a variable changes the costs at all."""
        for _ in range(TRIALS):
            values = {i: rng.randrange(n) for i, n in self._sizes.items()}
            if not np.array_equal(*self._at_two_values(values, variable, rng)):
                return True
        return False

    def _interact(self, rng: random.Random, one: int, two: int, among: Sequence[int]) -> bool:
        """Return whether the effect of a variable depends on another.

        Args:
            rng: Source of the values that are tried.
            one: Position of the variable.
            two: Position of the other one.
            among: Positions of the variables that are varied meanwhile.
        """
        for _ in range(TRIALS):
            values = {i: rng.randrange(self._sizes[i]) for i in among}
            low, high = _two(rng, self._sizes[two])
            state = rng.getstate()
            before, after = self._at_two_values({**values, two: low}, one, rng)
            rng.setstate(state)  # the same two values of the first
            others_before, others_after = self._at_two_values({**values, two: high}, one, rng)
            if not np.array_equal(after - before, others_after - others_before):
                return True
        return False

    def _at_two_values(
        self, values: Mapping[int, int], variable: int, rng: random.Random
    ) -> tuple[np.ndarray, np.ndarray]:
        first, second = _two(rng, self._sizes[variable])
        return (
            self._evaluate({**values, variable: first}),
            self._evaluate({**values, variable: second}),
        )


class _Term:
    """A table over some variables, filled as it is used."""

    def __init__(self, axes: list[int], sizes: Mapping[int, int], differs: bool = False) -> None:
        """Create an empty table.

        Args:
            axes: Positions of the variables.
            sizes: Number of values of every variable.
            differs: Whether the table holds differences from the first value of the first variable.

        Raises:
            NotTabulableError: If the table would be too large.
        """
        self._axes, self._differs = axes, differs
        self._shape = tuple(sizes[i] for i in axes)
        size = math.prod(self._shape)
        if size > LARGEST:
            raise NotTabulableError
        self._table = np.zeros((METRICS, size))
        self._empty = np.ones(size, dtype=bool)

    def values(self, full: np.ndarray, metric: int, costs_of: CostsOf) -> np.ndarray:
        """Return one of the costs of full genotypes, shape (genotypes,)."""
        places = np.zeros(len(full), dtype=int)
        for i, size in zip(self._axes, self._shape, strict=True):
            places *= size
            places += full[:, i]
        empty = self._empty[places]
        if empty.any():
            for place in np.unique(places[empty]).tolist():
                self._fill(place, costs_of)
        return np.asarray(self._table[metric, places])

    def _fill(self, place: int, costs_of: CostsOf) -> None:
        indices = [int(index) for index in np.unravel_index(place, self._shape)]
        values = dict(zip(self._axes, indices, strict=True))
        self._table[:, place] = costs_of(values)
        if self._differs:
            base = costs_of({**values, self._axes[0]: 0})
            if base[0] >= UNBUILDABLE:
                raise NotTabulableError
            self._table[:, place] -= base
        self._empty[place] = False


def _two(rng: random.Random, size: int) -> tuple[int, int]:
    """Return two different indices; the same one twice if there is only one."""
    first = rng.randrange(size)
    return first, (first + rng.randrange(1, size)) % size if size > 1 else first


def _variable(source: ValueSource | None) -> tuple[int, ...]:
    return () if source is None or source.variable is None else (source.variable,)
