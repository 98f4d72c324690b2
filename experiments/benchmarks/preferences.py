"""Synthetic accuracies for the networks of `mixnet`, with a known Pareto front."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.blocks import Block
from nas.blocks.ends import stem_part, tail_parts
from nas.cost import tally
from nas.ir import Node
from nas.space import Genotype, Space
from nas.spec import NetworkSpec

NOISE = 0.003  # standard deviation of accuracy between seeds


class Preferences:
    """A random but reproducible sum of contributions of stages, blocks and neighboring stages."""

    def __init__(self, space: Space, seed: int) -> None:
        """Draw preferences."""
        self.space = space
        self._stages = [f"s{i}" for i in range(1, 6)]
        self._rng = random.Random(f"landscape/{seed}")
        self._taste = {
            f"{stage}.{part}": _Taste.draw(self._rng)
            for stage in self._stages
            for part in ("first", "rest")
        }
        self._depth = {stage: self._rng.uniform(0.05, 0.25) for stage in self._stages}
        self._width = {stage: self._rng.uniform(0.1, 0.6) for stage in self._stages}
        self._ratio = {stage: self._rng.uniform(0.3, 0.7) for stage in self._stages}

    def truth(self, genotype: Genotype) -> float:
        """Return a network's accuracy, without noise."""
        return accuracy(self.score(self.space.values(genotype)))

    def observed(self, genotype: Genotype, seed: int) -> float:
        """Return the accuracy observed in one training run with a seed."""
        rng = random.Random(f"{genotype}/{seed}")
        return self.truth(genotype) + rng.gauss(0, NOISE)

    def score(self, values: Mapping[str, Any]) -> float:
        """Return a network's quality, a sum over stages."""
        before, total = values["width"], 0.0
        for stage in self._stages:
            depth, channels = values[f"{stage}.depth"], values[f"{stage}.channels"]
            total += self._shape_score(stage, before, channels, depth)
            total += self._block_score(stage, "first", values)
            if depth > 1:
                total += _rest(depth) * self._block_score(stage, "rest", values)
            before = channels
        return total

    def _shape_score(self, stage: str, before: int, channels: int, depth: int) -> float:
        ratio = math.log(channels / before) - self._ratio[stage]
        return (
            self._depth[stage] * math.log(1 + depth)
            + self._width[stage] * math.log(channels / before)
            - 0.15 * ratio * ratio
        )

    def _block_score(self, stage: str, part: str, values: Mapping[str, Any]) -> float:
        fields = {name: values[f"{stage}.{part}.{name}"] for name in _FIELDS}
        taste = self._taste[f"{stage}.{part}"]
        return taste.score(
            **fields, se=values[f"{stage}.se_ratio"], activation=values[f"{stage}.activation"]
        )

    # -- the true front ---------------------------------------------------------------------

    def front(self) -> list[tuple[float, float]]:
        """Return all (MAdds, accuracy) of the true front, by dynamic programming over stages.

        Networks within the same 20,000 MAdds are represented by the best one, at the lower end, so
        the front is never too low, and too optimistic by less than a thousandth of the cost.
        """
        spec = self.space.decode(self.space.draw(random.Random(0)))
        widths = self._options("width")
        states = {width: [(_madds_before(spec, width), 0.0)] for width in widths}
        for i, stage in enumerate(self._stages, start=1):
            size = _resolution(spec, i)
            after: dict[int, list[tuple[float, float]]] = {}
            for channels in self._options(f"{stage}.channels"):
                found: list[tuple[float, float]] = []
                for before, so_far in states.items():
                    options = self._stage_front(spec, i, before, channels, size)
                    found += _sums(so_far, options)
                after[channels] = _pareto(found)
            states = after
        ends = []
        for channels, points in states.items():
            tail = _madds_after(spec, channels)
            ends += [(cost + tail, score) for cost, score in points]
        return [(cost, accuracy(score)) for cost, score in _pareto(ends)]

    def _stage_front(
        self, spec: NetworkSpec, index: int, before: int, channels: int, size: int
    ) -> list[tuple[float, float]]:
        stage = self._stages[index - 1]
        found: list[tuple[float, float]] = []
        for se, activation in itertools.product(
            self._options(f"{stage}.se_ratio"), self._options(f"{stage}.activation")
        ):
            rest = self._block_front(spec, index, "rest", channels, channels, size, se, activation)
            first = self._block_front(spec, index, "first", before, channels, size, se, activation)
            for depth in self._options(f"{stage}.depth"):
                shape = self._shape_score(stage, before, channels, depth)
                points = [(cost, score + shape) for cost, score in first]
                if depth > 1:
                    part = _rest(depth)
                    rests = [((depth - 1) * cost, part * score) for cost, score in rest]
                    points = _sums(points, rests)
                found += points
        return _pareto(found)

    def _block_front(
        self, spec: NetworkSpec, index: int, part: str, before: int, channels: int, size: int,
        se: float, activation: str,
    ) -> list[tuple[float, float]]:  # fmt: skip
        stage = self._stages[index - 1]
        like: Any = spec.stages[index][0]
        if part == "rest":
            like = dataclasses.replace(like, stride=1)
            size = size // spec.stages[index][0].stride
        names = [f"{stage}.{part}.{name}" for name in _FIELDS]
        found = []
        for fields in itertools.product(*(self._options(name) for name in names)):
            named = dict(zip(_FIELDS, fields, strict=True))
            block = dataclasses.replace(like, channels=channels, se_ratio=se, **named)
            cost = tally([block], spec.rules, (before, size, size)).madds
            score = self._taste[f"{stage}.{part}"].score(**named, se=se, activation=activation)
            found.append((float(cost), score))
        return _pareto(found)

    def _options(self, name: str) -> tuple[Any, ...]:
        return self.space.variables[self.space.index(name)].values


_FIELDS = ("kernels", "project_groups", "expansion", "expand_groups")


@dataclass(frozen=True)
class _Taste:
    """The preferred choices of one block of a stage."""

    kernel: float
    spread: float
    kernels_weight: float
    expansion: float
    groups: float
    se: float
    swish: float
    large_with_se: float

    @staticmethod
    def draw(rng: random.Random) -> _Taste:
        return _Taste(
            rng.uniform(3, 9),
            rng.uniform(0, 2.5),
            rng.uniform(0.005, 0.02),
            rng.uniform(0.02, 0.25),
            rng.uniform(-0.04, 0.02),
            rng.uniform(0.0, 0.06),
            rng.uniform(-0.01, 0.04),
            rng.uniform(0.0, 0.06),
        )

    def score(
        self, kernels: tuple[int, ...], project_groups: int, expansion: int, expand_groups: int,
        se: float, activation: str,
    ) -> float:  # fmt: skip
        mean = sum(kernels) / len(kernels)
        spread = math.sqrt(sum((k - mean) ** 2 for k in kernels) / len(kernels))
        off = (mean - self.kernel) ** 2 + (spread - self.spread) ** 2
        return (
            -self.kernels_weight * off
            + self.expansion * math.log(expansion)
            + self.groups * (project_groups + expand_groups - 2)
            + (self.se + (self.large_with_se if mean > 5 else 0.0)) * (se > 0)
            - 0.02 * (se == 0.5)
            + self.swish * (activation == "swish")
        )


def accuracy(score: float) -> float:
    """Map a sum of preferences to an accuracy that saturates at 95%."""
    return 0.95 - 0.45 / (1 + math.exp(0.9 * (score - 1.0)))


def _rest(depth: int) -> float:
    """Weigh the blocks after the first: each counts less than the one before."""
    return float(sum(0.7**i for i in range(depth - 1)))


_STEP = 20_000.0


def _pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: dict[int, tuple[float, float]] = {}
    best = -math.inf
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if score > best:
            best = score
            step = int(cost // _STEP)
            start = kept[step][0] if step in kept else cost
            kept[step] = (start, score)
    return list(kept.values())


def _sums(
    one: list[tuple[float, float]], two: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the front of sums of a point of each."""
    a, b = np.array(one), np.array(two)
    costs = (a[:, None, 0] + b[None, :, 0]).ravel()
    scores = (a[:, None, 1] + b[None, :, 1]).ravel()
    order = np.lexsort((-scores, costs))
    best = np.maximum.accumulate(scores[order])
    rising = np.concatenate([[True], scores[order][1:] > best[:-1]])
    kept = order[rising]
    return _pareto(list(zip(costs[kept].tolist(), scores[kept].tolist(), strict=True)))


def _resolution(spec: NetworkSpec, index: int) -> int:
    size = spec.input.resolution // spec.stem.stride
    for stage in spec.stages[:index]:
        size //= stage[0].stride
    return int(size)


def _madds_before(spec: NetworkSpec, width: int) -> float:
    """Return the multiply-adds of the stem and the first stage, which has no choices."""
    stem = dataclasses.replace(spec.stem, channels=width)
    block = dataclasses.replace(spec.stages[0][0], channels=width)
    parts: list[Block | Node] = [stem_part(stem, spec.input.channels, spec.rules), block]
    return float(tally(parts, spec.rules, spec.in_shape).madds)


def _madds_after(spec: NetworkSpec, channels: int) -> float:
    """Return the multiply-adds of the head and the classifier."""
    size = _resolution(spec, len(spec.stages))
    shape = (channels, size, size)
    tail: list[Block | Node] = [
        part for _, part in tail_parts(spec.head, shape, spec.num_classes, spec.rules)
    ]
    return float(tally(tail, spec.rules, shape).madds)
