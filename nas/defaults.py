"""Defaults that several commands share; those of a single command are defined with its settings."""

DATA = "digits"
DATA_SETS = (DATA,)
"""Names of the built-in data sets; anything else is a path."""
DEVICE = "onnxruntime:cpu"
ESTIMATOR = "supernet"
SPACE = "mixnet"
