"""The known-cost sampler: only accuracy is modeled, since costs are known without training."""

from nas.samplers.known_cost.sampler import KnownCostSampler

__all__ = ["KnownCostSampler"]
