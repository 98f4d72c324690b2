"""Exact costs of a network, computed from its layer tree without torch."""

from nas.cost.count import CONVENTION, Cost, Count, count, count_leaf, tally

__all__ = ["CONVENTION", "Cost", "Count", "count", "count_leaf", "tally"]
