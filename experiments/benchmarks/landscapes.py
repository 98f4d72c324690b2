"""Search problems with a known best possible front, for comparing samplers.

- ``nas-bench-macro``: 6,561 networks trained three times each (Su et al. 2021, MCT-NAS); a sampler
  sees the accuracy of one seed and is scored by the mean of the three.
- ``mixnet``: the whole space of 10^40 networks with its exact MAdds. Accuracy is synthetic: a
  random but reproducible sum of preferences of stages, blocks and neighboring stages, mapped by a
  saturating curve, with noise. Stages interact only through their channels, so the true front
  follows by dynamic programming.
- ``mixnet-small``: the same with other preferences, and a limit that under 1% of the space meets.

Networks are scored by the share of the best possible hypervolume, under two fixed references. One
is at the largest cost, where a network that costs as much adds nothing. The other is `BEYOND` times
as far, so that networks near the largest cost, or near the limit, count as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from experiments.benchmarks.macro_networks import read_macro
from experiments.benchmarks.preferences import Preferences
from nas.limits import Limit
from nas.samplers.domain import distributions
from nas.space import Genotype, Space, load_space

Params = Mapping[str, Any]
BEYOND = 1.2  # cost of the second reference, in units of the largest cost


@dataclass(frozen=True)
class Reference:
    """A reference point of the hypervolume.

    Attributes:
        accuracy: Accuracy that networks must exceed to count.
        cost: Cost that they must stay below.
        full: Hypervolume of the best possible front.
    """

    accuracy: float
    cost: float
    full: float

    @staticmethod
    def of(front: Sequence[tuple[float, float]], accuracy: float, cost: float) -> Reference:
        """Return the reference point at an accuracy and a cost.

        Args:
            front: The (cost, accuracy) points of the best possible front that are allowed.
            accuracy: Accuracy of the point.
            cost: Cost of the point.
        """
        return Reference(accuracy, cost, hypervolume(front, (accuracy, cost)))


@dataclass(frozen=True)
class Problem:
    """A search problem: maximize accuracy and minimize one known cost.

    Attributes:
        name: Name of the problem.
        distributions: Distributions of the parameters.
        cost: Cost as a function of the parameters.
        covariates: Further known functions of the parameters.
        observed: Accuracy that an evaluation with a seed returns.
        truth: True accuracy, by which samplers are scored.
        max_score: Upper bound of accuracies: 1 or 100.
        reference: Reference point at the largest cost.
        beyond: Reference point beyond the largest cost.
        about: Further facts for the record.
        space: Space of the parameters, if there is one.
        limits: Limits on costs.
    """

    name: str
    distributions: dict[str, BaseDistribution]
    cost: Callable[[Params], float]
    covariates: tuple[Callable[[Params], float], ...]
    observed: Callable[[Params, int], float]
    truth: Callable[[Params], float]
    max_score: float
    reference: Reference
    beyond: Reference
    about: dict[str, Any] = field(default_factory=dict)
    space: Space | None = None
    limits: tuple[Limit, ...] = ()

    def share(self, tried: Sequence[Params], reference: Reference | None = None) -> float:
        """Return the share of the full hypervolume that networks dominate.

        Args:
            tried: The networks.
            reference: Reference point; `self.reference` by default.
        """
        points = [(self.cost(params), self.truth(params)) for params in tried]
        end = reference or self.reference
        return hypervolume(points, (end.accuracy, end.cost)) / end.full


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area that (cost, accuracy) points dominate, up to (accuracy, cost)."""
    best, largest = reference
    area = previous = 0.0
    for cost, accuracy in sorted(points):
        if cost >= largest:
            break
        area += (cost - previous) * (best - reference[0])
        previous, best = cost, max(best, accuracy)
    return area + (largest - previous) * (best - reference[0])


def nas_bench_macro(path: Path | None = None) -> Problem:
    """Read the table: eight layers, each absent or one of two blocks; see `read_macro`."""
    table = read_macro(path)
    layers = [f"layer{i}" for i in range(8)]
    blocks = {"identity": "0", "k3e3": "1", "k5e6": "2"}

    def row(params: Params) -> dict[str, Any]:
        found: dict[str, Any] = table["".join(blocks[params[layer]] for layer in layers)]
        return found

    points = [(r["flops"], r["mean_acc"]) for r in table.values()]
    largest = float(max(flops for flops, _ in points))
    return Problem(
        "nas-bench-macro",
        {layer: CategoricalDistribution(list(blocks)) for layer in layers},
        lambda params: float(row(params)["flops"]),
        (lambda params: float(row(params)["params"]),),
        lambda params, seed: float(row(params)["test_acc"][seed % 3]),
        lambda params: float(row(params)["mean_acc"]),
        100.0,
        Reference.of(points, 80.0, largest),
        Reference.of(points, 80.0, BEYOND * largest),
        {"networks": len(table)},
    )


def mixnet(seed: int = 1) -> Problem:
    """Return the problem of synthetic accuracies on the whole space."""
    return _made_up("mixnet", seed, None)


def mixnet_small(seed: int = 2) -> Problem:
    """Return the problem of synthetic accuracies with only the smallest networks allowed."""
    return _made_up("mixnet-small", seed, 135e6)


def _made_up(name: str, seed: int, most: float | None) -> Problem:
    space = load_space("mixnet")
    world = Preferences(space, seed)
    front = world.front()
    drawn = [space.draw(random.Random(i)) for i in range(10_000)]
    costs = np.array([space.cost(g).madds for g in drawn])
    largest = most or front[-1][0]
    inside = costs <= largest
    worst = float(np.quantile([world.truth(g) for g in drawn], 0.05))
    allowed = [(cost, accuracy) for cost, accuracy in front if cost <= largest]
    limits = (Limit("madds", upper=most),) if most else ()
    memory = lru_cache(None)(lambda items: space.from_params(dict(items)))

    def genotype(params: Params) -> Genotype:
        return memory(tuple(params.items()))

    return Problem(
        name,
        distributions(space),
        lambda params: float(space.cost(genotype(params)).madds),
        (),
        lambda params, n: world.observed(genotype(params), n),
        lambda params: world.truth(genotype(params)),
        1.0,
        Reference.of(allowed, worst, float(largest)),
        Reference.of(allowed, worst, BEYOND * largest),
        {
            "share_of_space_admitted": round(float(inside.mean()), 5),
            "best_accuracy": round(max(a for _, a in allowed), 4),
            "reference": (worst, float(largest)),
        },
        space,
        limits,
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "nas-bench-macro": nas_bench_macro,
    "mixnet": mixnet,
    "mixnet-small": mixnet_small,
}


def open_problem(name: str) -> Problem:
    """Return a problem by name."""
    return PROBLEMS[name]()
