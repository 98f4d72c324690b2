"""Defaults that several commands share; those of a single command are defined with its settings."""

DATA = "digits"
DEVICE = "onnxruntime:cpu"
ESTIMATOR = "supernet"
SPACE = "mixnet"
