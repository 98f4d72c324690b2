"""Samplers: which network to try next."""

from nas.samplers.limited import SAMPLERS, LimitedSampler, distributions, open_sampler

__all__ = ["SAMPLERS", "LimitedSampler", "distributions", "open_sampler"]
