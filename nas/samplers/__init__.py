"""Samplers choose which network to try next. All propose whole genotypes inside the limits."""

from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import Domain, SpaceDomain, distributions
from nas.samplers.evolution import RegularizedEvolution
from nas.samplers.known_cost import KnownCostSampler
from nas.samplers.optuna_adapter import ConstrainedSampler
from nas.samplers.parameter_domain import ParameterDomain
from nas.samplers.random import RandomSampler
from nas.samplers.registry import (
    SAMPLERS,
    LatencyCost,
    SamplerFactory,
    SearchProblem,
    find_sampler,
    open_sampler,
)

__all__ = [
    "SAMPLERS",
    "ConstrainedSampler",
    "Domain",
    "GenotypeSampler",
    "KnownCostSampler",
    "LatencyCost",
    "ParameterDomain",
    "PastTrial",
    "Proposal",
    "RandomSampler",
    "RegularizedEvolution",
    "SamplerFactory",
    "SearchProblem",
    "SpaceDomain",
    "distributions",
    "find_sampler",
    "open_sampler",
]
