"""Counting the networks of a space without building their specs, a stage at a time."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from nas.blocks import Rules
from nas.cost import Cost, Count, tally
from nas.errors import MixnasError
from nas.ir import Shape
from nas.space.compile import Plans
from nas.space.plan import ValueSource, get_all
from nas.space.variables import Genotype
from nas.spec import Head, Input, Stem, stem_part, tail_parts

_CACHE = 50_000


class Counter:
    """Exact costs of genotypes; remembers the counts of stages by what they depend on."""

    def __init__(self, plans: Plans) -> None:
        """Take a compiled space."""
        self._plans = plans
        self._rules = Rules(plans.padding, plans.norm.eps, plans.norm.momentum)
        self._pick = [_picker(stage.used) for stage in plans.stages]
        self._memory: dict[Any, Count] = {}
        self._pick_stem = _picker(_used(plans.stem) + _used(plans.input))
        self._pick_head = _picker(_used(plans.head))

    def cost(self, genotype: Genotype) -> Cost:
        """Return the costs of a genotype's network.

        Raises:
            MixnasError: when the derived parametrisation's rule or a block's fields do not fit.
        """
        plans = self._plans
        derived = plans.derived(genotype)
        stem = self._remember(("stem", self._pick_stem(genotype)), lambda: self._stem(genotype))
        params, madds, activations, peak, shape = stem
        for i, pick in enumerate(self._pick):
            fixed = derived and (derived[0][i], derived[1][i])
            key = (i, shape, fixed, pick(genotype))
            count = self._memory.get(key) or self._stage(key, genotype)
            params += count.params
            madds += count.madds
            activations += count.activations
            peak = max(peak, count.peak)
            shape = count.shape
        tail = self._remember(
            ("tail", shape, self._pick_head(genotype)), lambda: self._tail(genotype, shape)
        )
        return Count(
            params + tail.params,
            madds + tail.madds,
            activations + tail.activations,
            max(peak, tail.peak),
            tail.shape,
        ).cost()

    def _remember(self, key: Any, make: Callable[[], Count]) -> Count:
        found = self._memory.get(key)
        if found is None:
            if len(self._memory) >= _CACHE:
                self._memory.clear()
            found = self._memory[key] = make()
        return found

    def _stage(self, key: Any, genotype: Genotype) -> Count:
        index, shape, fixed, _ = key
        stage = self._plans.stages[index]
        blocks = stage.build(genotype, fixed)
        try:
            return self._remember(key, lambda: tally(blocks, self._rules, shape))
        except ValueError as error:
            raise MixnasError(f"stage {stage.name}: {error}") from None

    def _stem(self, genotype: Genotype) -> Count:
        images = Input(**get_all(self._plans.input, genotype))
        stem = Stem(**get_all(self._plans.stem, genotype))
        part = stem_part(stem, images.channels, self._rules)
        return tally([part], self._rules, (images.channels, images.resolution, images.resolution))

    def _tail(self, genotype: Genotype, shape: Shape) -> Count:
        head = Head(**get_all(self._plans.head, genotype))
        parts = tail_parts(head, shape[0], self._plans.num_classes, self._rules)
        return tally((part for _, part in parts), self._rules, shape)


def _picker(used: tuple[int, ...]) -> Callable[[Genotype], Any]:
    """Return a function that picks some variables of a genotype."""
    return itemgetter(*used) if used else lambda genotype: ()


def _used(sources: dict[str, ValueSource]) -> tuple[int, ...]:
    return tuple(s.variable for s in sources.values() if s.variable is not None)
