"""Random weights for any layer tree."""

import math

import numpy as np

from nas.ir import nested
from nas.torch_model.modules import to_module, weights_of


def random_weights(tree, seed=0):
    """Return weights by name with which no layer is the identity.

    Matrices and kernels keep the scale of what they take; scales and variances are near 1.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for name, value in weights_of(to_module(nested(tree))).items():
        part = name.rpartition(".")[2]
        if part == "num_batches_tracked":
            continue
        noise = rng.standard_normal(value.shape)
        if value.ndim > 1:
            noise /= math.sqrt(math.prod(value.shape[1:]))
        elif part in ("weight", "running_var"):
            noise = 1 + 0.3 * np.tanh(noise)
        else:
            noise *= 0.3
        found[name] = noise.astype(np.float32)
    return found
