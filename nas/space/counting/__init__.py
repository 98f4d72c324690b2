"""Counting the costs of genotypes without their specs: one by one, or thousands at once."""

from nas.space.counting.counter import Counter
from nas.space.counting.tables import CostTables

__all__ = ["CostTables", "Counter"]
