"""Sampling networks within limits, evenly and in bounded time."""

from nas.space.sampling.drawing import Sample, sample, sample_many
from nas.space.sampling.enumeration import ENUMERATED, admitted_networks
from nas.space.sampling.violation import cost_limits, limit_violation
from nas.space.sampling.walks import approach_from

__all__ = [
    "ENUMERATED",
    "Sample",
    "admitted_networks",
    "approach_from",
    "cost_limits",
    "limit_violation",
    "sample",
    "sample_many",
]
