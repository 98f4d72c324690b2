"""Scaling: larger and smaller networks by factors of depth, width and resolution.

- `factors`: the factors, and the published rules that they follow.
- `network`: scaling a network by factors.
- `grid`: the triples of coefficients that EfficientNet's compound scaling chooses from.

``python -m nas.scale efficientnet_b0 --phi 3`` prints the cost of the scaled network.
"""

from nas.scale.factors import (
    EFFICIENTNET,
    Coefficients,
    Factors,
    by_strategy,
    published,
)
from nas.scale.grid import grid
from nas.scale.network import (
    COMPOUND_RULES,
    FAST_RULES,
    MULTIPLIER_RULES,
    ScalingRules,
    scaled,
)

__all__ = [
    "COMPOUND_RULES",
    "EFFICIENTNET",
    "FAST_RULES",
    "MULTIPLIER_RULES",
    "Coefficients",
    "Factors",
    "ScalingRules",
    "by_strategy",
    "grid",
    "published",
    "scaled",
]
