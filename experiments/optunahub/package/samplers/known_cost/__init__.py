"""A sampler for objectives whose costs are known before a trial is run."""

from nas.samplers import KnownCostSampler

__all__ = ["KnownCostSampler"]
