"""The known-cost sampler: it learns accuracy alone, since everything else is known beforehand."""

from nas.samplers.known_cost.sampler import KnownCostSampler

__all__ = ["KnownCostSampler"]
