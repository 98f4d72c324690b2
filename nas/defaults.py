"""Defaults that several commands share; each command's own stand with its settings."""

DATA = "digits"
DEVICE = "onnxruntime:cpu"
ESTIMATOR = "supernet"
SPACE = "mixnet"
