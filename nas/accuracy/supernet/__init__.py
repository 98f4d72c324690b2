"""The supernet: all networks of a space are trained at once, with shared weights."""

from nas.accuracy.supernet.estimator import Supernet
from nas.accuracy.supernet.slices import SUPERNET_FILE, NetworkSlice, TrainedSupernet

__all__ = ["SUPERNET_FILE", "NetworkSlice", "Supernet", "TrainedSupernet"]
