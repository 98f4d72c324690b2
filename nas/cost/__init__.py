"""Exact costs of a network, from its layer tree alone: no torch, no typer."""

from nas.cost.count import CONVENTION, Cost, Count, count, count_leaf, tally

__all__ = ["CONVENTION", "Cost", "Count", "count", "count_leaf", "tally"]
