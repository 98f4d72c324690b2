"""Samplers: which network to try next. All propose whole genotypes, inside the limits."""

from nas.samplers.base import GenotypeSampler, Past, Proposal
from nas.samplers.domain import Domain, ParameterDomain, SpaceDomain, distributions
from nas.samplers.evolution import RegularizedEvolution
from nas.samplers.known_cost import KnownCostSampler
from nas.samplers.optuna_adapter import WithinLimits
from nas.samplers.random import EvenSampler
from nas.samplers.registry import SAMPLERS, Aim, SamplerFactory, find_sampler, open_sampler

__all__ = [
    "SAMPLERS",
    "Aim",
    "Domain",
    "EvenSampler",
    "GenotypeSampler",
    "KnownCostSampler",
    "ParameterDomain",
    "Past",
    "Proposal",
    "RegularizedEvolution",
    "SamplerFactory",
    "SpaceDomain",
    "WithinLimits",
    "distributions",
    "find_sampler",
    "open_sampler",
]
