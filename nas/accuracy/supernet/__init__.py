"""The supernet: all networks of a space trained at once, on shared weights."""

from nas.accuracy.supernet.estimator import Supernet

__all__ = ["Supernet"]
