"""Counting the costs of genotypes stage by stage, without building their specs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from operator import itemgetter
from typing import Any

from nas.blocks import Rules
from nas.blocks.ends import stem_part, tail_parts
from nas.cost import Cost, Count, tally
from nas.errors import MixnasError
from nas.ir import Shape
from nas.space.compile import Plans
from nas.space.counting.tables import CostTables, open_tables
from nas.space.plan import get_all, used_variables
from nas.space.variables import Genotype
from nas.spec import Head, Input, Stem

_CACHE = 50_000


class Counter:
    """Exact costs of genotypes, with a cache of the costs of every stage."""

    def __init__(self, plans: Plans) -> None:
        """Create a counter for a compiled space."""
        self._plans = plans
        self._rules = Rules(plans.padding, plans.norm.eps, plans.norm.momentum)
        self._pick_stages = [_picker(stage.used) for stage in plans.stages]
        self._cache: dict[Any, Count] = {}
        stem_and_input = (*plans.stem.values(), *plans.input.values())
        self._pick_stem = _picker(used_variables(stem_and_input))
        self._pick_head = _picker(used_variables(plans.head.values()))

    @cached_property
    def tables(self) -> CostTables | None:
        """Tables that give the costs of thousands of genotypes at once, if there can be any."""
        return open_tables(self._plans, self.cost)

    def cost(self, genotype: Genotype) -> Cost:
        """Return the costs of a genotype's network.

        Raises:
            MixnasError: If the derived widths do not fit the space, or a block is not compatible
                with its input channels.
        """
        plans = self._plans
        derived = plans.derived(genotype)
        stem = self._cached(("stem", self._pick_stem(genotype)), lambda: self._stem(genotype))
        params, madds, activations, peak, shape = stem
        for i, pick in enumerate(self._pick_stages):
            fixed = derived and (derived[0][i], derived[1][i])
            key = (i, shape, fixed, pick(genotype))
            count = self._cache.get(key) or self._stage(key, genotype)
            params += count.params
            madds += count.madds
            activations += count.activations
            peak = max(peak, count.peak)
            shape = count.shape
        tail = self._cached(
            ("tail", shape, self._pick_head(genotype)), lambda: self._tail(genotype, shape)
        )
        return Count(
            params=params + tail.params,
            madds=madds + tail.madds,
            activations=activations + tail.activations,
            peak=max(peak, tail.peak),
            shape=tail.shape,
        ).cost()

    def _cached(self, key: Any, compute: Callable[[], Count]) -> Count:
        count = self._cache.get(key)
        if count is None:
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            count = self._cache[key] = compute()
        return count

    def _stage(self, key: Any, genotype: Genotype) -> Count:
        index, shape, fixed, _ = key
        stage = self._plans.stages[index]
        blocks = stage.build(genotype, fixed)
        try:
            return self._cached(key, lambda: tally(blocks, self._rules, shape))
        except ValueError as error:
            raise MixnasError(f"stage {stage.name}: {error}") from None

    def _stem(self, genotype: Genotype) -> Count:
        images = Input(**get_all(self._plans.input, genotype))
        stem = Stem(**get_all(self._plans.stem, genotype))
        part = stem_part(stem, images.channels, self._rules)
        return tally([part], self._rules, (images.channels, images.resolution, images.resolution))

    def _tail(self, genotype: Genotype, shape: Shape) -> Count:
        head = Head(**get_all(self._plans.head, genotype))
        parts = tail_parts(head, shape, self._plans.num_classes, self._rules)
        return tally((part for _, part in parts), self._rules, shape)


def _picker(positions: tuple[int, ...]) -> Callable[[Genotype], Any]:
    """Return a function that picks the values at some positions of a genotype."""
    return itemgetter(*positions) if positions else _nothing


def _nothing(genotype: Genotype) -> tuple[()]:
    # A function with a name: spaces are sent to other processes, and a lambda cannot be.
    return ()
