"""The samplers of the command line, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from nas.errors import MixnasError, unknown
from nas.imports import looks_like_import, named_object
from nas.latency.conditions import Latency
from nas.latency.prediction.genotype import GenotypeLatency
from nas.limits import Limit
from nas.objective import PARETO, Objective
from nas.samplers.base import GenotypeSampler, PastTrial
from nas.samplers.domain import Domain, SpaceDomain
from nas.samplers.evolution import RegularizedEvolution
from nas.samplers.known_cost import KnownCostSampler
from nas.samplers.known_cost.improvement import MAX_COSTS
from nas.samplers.optuna_adapter import ConstrainedSampler
from nas.samplers.random import RandomSampler
from nas.space import Genotype, Space


@dataclass(frozen=True)
class LatencyCost:
    """Latency on a device as a cost, learned from the trials unless there is a predictor.

    Attributes:
        latency: Latency as a function of the genotype.
        limits: Limits on it, as far as it is known.
        attribute: Attribute of the trials that holds what was measured.
    """

    latency: GenotypeLatency
    limits: tuple[Limit, ...] = ()
    attribute: str = "latency"

    @property
    def uncertainty(self) -> float:
        """See `LearnedCost`."""
        return self.latency.uncertainty

    def learn_from(self, past: Sequence[PastTrial]) -> bool:
        """See `LearnedCost`."""
        measured = [
            (p.genotype, Latency.from_dict(p.trial.user_attrs[self.attribute]))
            for p in past
            if self.attribute in p.trial.user_attrs
        ]
        return self.latency.learn(measured)

    def __call__(self, genotype: Genotype) -> float:
        """Return the latency in milliseconds; see `GenotypeLatency` for how well it is known."""
        return self.latency(genotype)


@dataclass(frozen=True)
class SearchProblem:
    """The problem that a search poses to its sampler.

    Attributes:
        space: Search space.
        limits: Limits on exact costs, in addition to the space's own.
        seed: Random seed.
        objective: Objective of the search.
        latencies: Latencies as functions of the genotype, one for every device, in the order of the
            trial's values; the sampler uses MAdds in their place if there are none.
        max_score: Score that no network can exceed; None if scores have no such bound.
    """

    space: Space
    limits: tuple[Limit, ...] = ()
    seed: int = 0
    objective: Objective = PARETO
    latencies: tuple[LatencyCost, ...] = ()
    max_score: float | None = 1.0

    @property
    def domain(self) -> Domain:
        """The networks of the space within the limits on exact costs."""
        return SpaceDomain(self.space, self.limits)


SamplerFactory = Callable[[SearchProblem], GenotypeSampler]
"""A function that creates the sampler of a search."""


def _score(trial: FrozenTrial) -> float | None:
    estimate: dict[str, float] = trial.user_attrs.get("estimate", {})
    return estimate.get("score", estimate.get("accuracy"))


def _known_cost(problem: SearchProblem) -> GenotypeSampler:
    def reward(accuracy: float, costs: np.ndarray) -> float:
        return float(problem.objective.values(accuracy, float(costs[0]))[0])

    if len(problem.latencies) > MAX_COSTS:
        raise MixnasError(
            f"the sampler known-cost takes up to {MAX_COSTS} devices, not "
            f"{len(problem.latencies)}; choose --sampler nsga3, evolution or random for more"
        )
    return KnownCostSampler(
        problem.space,
        problem.latencies or ["madds"],
        limits=problem.limits,
        cost_limits={i: cost.limits for i, cost in enumerate(problem.latencies)},
        limits_of_one=True,
        reward=None if problem.objective.target_ms is None else reward,
        max_score=problem.max_score,
        accuracy=_score,
        seed=problem.seed,
    )


def _controller(problem: SearchProblem) -> GenotypeSampler:
    from nas.samplers.controller import ControllerSampler  # imports torch

    return ControllerSampler(problem.domain, problem.seed)


def _optuna(name: str, ordered: bool = False, **settings: Any) -> SamplerFactory:
    def create(problem: SearchProblem) -> GenotypeSampler:
        import optuna

        inner: BaseSampler = getattr(optuna.samplers, name)(seed=problem.seed, **settings)
        return ConstrainedSampler(problem.domain, inner, problem.seed, ordered)

    return create


_POPULATION = 20  # with Optuna's 50, many searches would end in the first generation

SAMPLERS: dict[str, SamplerFactory] = {
    "known-cost": _known_cost,
    "random": lambda problem: RandomSampler(problem.domain, problem.seed),
    "evolution": lambda problem: RegularizedEvolution(problem.domain, problem.seed),
    "controller": _controller,
    "tpe": _optuna("TPESampler", multivariate=True),
    "nsga2": _optuna("NSGAIISampler", population_size=_POPULATION),
    "nsga3": _optuna("NSGAIIISampler", population_size=_POPULATION),
    "gp": _optuna("GPSampler", deterministic_objective=False),
    "qmc": _optuna("QMCSampler", ordered=True),
}
"""The built-in samplers, by name."""


def find_sampler(name: str) -> SamplerFactory:
    """Return the factory of a sampler.

    Args:
        name: Name of a sampler, or the import path of a `SamplerFactory` (``module:function``).

    Raises:
        MixnasError: If there is no such sampler. A factory given by its import path raises it when
            called, if its result is not a `GenotypeSampler`.
    """
    if not looks_like_import(name):
        if name not in SAMPLERS:
            raise MixnasError(unknown("sampler", name, SAMPLERS))
        return SAMPLERS[name]
    factory = named_object(name, "sampler")

    def create(problem: SearchProblem) -> GenotypeSampler:
        sampler = factory(problem)
        if not isinstance(sampler, GenotypeSampler):
            raise MixnasError(
                f"{name} returned {type(sampler).__name__}; it must return a "
                "nas.samplers.GenotypeSampler"
            )
        return sampler

    return create


def open_sampler(name: str, problem: SearchProblem) -> GenotypeSampler:
    """Create a sampler by its name or import path; see `find_sampler`."""
    return find_sampler(name)(problem)
