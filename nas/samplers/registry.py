"""Samplers by name."""

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
from nas.samplers.optuna_adapter import ConstrainedSampler
from nas.samplers.random import RandomSampler
from nas.space import Genotype, Space


@dataclass(frozen=True)
class SearchProblem:
    """What a search hands to its sampler.

    Attributes:
        space: to sample.
        limits: on costs, beside the space's own.
        seed: of everything random.
        objective: what is sought.
        latency: tells it from a genotype, where it can be known; MAdds stand in for it otherwise.
        latency_limits: that trials are held to when they are measured.
        max_score: the score that no network exceeds, or None if there is no such.
    """

    space: Space
    limits: tuple[Limit, ...] = ()
    seed: int = 0
    objective: Objective = PARETO
    latency: GenotypeLatency | None = None
    latency_limits: tuple[Limit, ...] = ()
    max_score: float | None = 1.0

    @property
    def domain(self) -> Domain:
        """What is proposed."""
        return SpaceDomain(self.space, self.limits)


SamplerFactory = Callable[[SearchProblem], GenotypeSampler]
"""Opens a sampler for a search."""


@dataclass(frozen=True)
class _LatencyCost:
    """Latency, learned from the trials where no predictor tells it."""

    known: GenotypeLatency

    @property
    def sure(self) -> bool:
        return self.known.ready

    def learn_from(self, past: Sequence[PastTrial]) -> bool:
        measured = [
            (p.genotype, Latency.from_dict(p.trial.user_attrs["latency"]))
            for p in past
            if "latency" in p.trial.user_attrs
        ]
        return self.known.learn(measured)

    def __call__(self, genotype: Genotype) -> float:
        return self.known(genotype)


def _score(trial: FrozenTrial) -> float | None:
    estimate: dict[str, float] = trial.user_attrs.get("estimate", {})
    return estimate.get("score", estimate.get("accuracy"))


def _known_cost(problem: SearchProblem) -> GenotypeSampler:
    def reward(accuracy: float, costs: np.ndarray) -> float:
        return float(problem.objective.values(accuracy, float(costs[0]))[0])

    return KnownCostSampler(
        problem.space,
        ["madds" if problem.latency is None else _LatencyCost(problem.latency)],
        limits=problem.limits,
        cost_limits={} if problem.latency is None else {0: problem.latency_limits},
        reward=None if problem.objective.target_ms is None else reward,
        max_score=problem.max_score,
        accuracy=_score,
        seed=problem.seed,
    )


def _controller(problem: SearchProblem) -> GenotypeSampler:
    from nas.samplers.controller import ControllerSampler  # needs torch

    return ControllerSampler(problem.domain, problem.seed)


def _optuna(name: str, ordered: bool = False, **settings: Any) -> SamplerFactory:
    def open_one(problem: SearchProblem) -> GenotypeSampler:
        import optuna

        inner: BaseSampler = getattr(optuna.samplers, name)(seed=problem.seed, **settings)
        return ConstrainedSampler(problem.domain, inner, problem.seed, ordered)

    return open_one


_POPULATION = 20  # Optuna's 50 would be the whole of many a search

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


def find_sampler(name: str) -> SamplerFactory:
    """Return what opens a sampler, by name or by the import path of a `SamplerFactory`.

    Raises:
        MixnasError: when there is no such sampler; of a function that returns something else,
            when it is called.
    """
    if not looks_like_import(name):
        if name not in SAMPLERS:
            raise MixnasError(unknown("sampler", name, SAMPLERS))
        return SAMPLERS[name]
    found = named_object(name, "sampler")

    def open_one(problem: SearchProblem) -> GenotypeSampler:
        made = found(problem)
        if not isinstance(made, GenotypeSampler):
            raise MixnasError(
                f"{name} returned {type(made).__name__}; a sampler of searches is a "
                "nas.samplers.GenotypeSampler"
            )
        return made

    return open_one


def open_sampler(name: str, problem: SearchProblem) -> GenotypeSampler:
    """Return a sampler by name; see `find_sampler`."""
    return find_sampler(name)(problem)
