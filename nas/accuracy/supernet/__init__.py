"""The supernet: all networks of a space are trained at once, with shared weights."""

from nas.accuracy.supernet.estimator import Supernet

__all__ = ["Supernet"]
