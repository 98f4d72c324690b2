"""Export of networks with int8 arithmetic, each judged beside the network with fp32."""

CALIBRATION_IMAGES = 128
"""Training images that the ranges of activations are found on, unless the user says otherwise."""
MAX_LOSS = 5.0
"""Percentage points of accuracy that may be lost, unless the user says otherwise."""
