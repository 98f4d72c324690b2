"""Genotypes as numbers, for models of accuracy and latency.

A mix of kernels becomes the share of channels of every kernel size, a number keeps its order
(scaled to 0..1 over its values), the rest is one-hot. Inactive variables are 0 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nas.space.space import Space
from nas.space.variables import INACTIVE, Genotype, Variable


@lru_cache(maxsize=4096)
def _table(variable: Variable) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the feature names of a variable and, for each value, its features."""
    name, values = variable.name, variable.values
    if variable.kind == "kernels":
        sizes = sorted({kernel for mix in values for kernel in mix})
        rows = [[mix.count(size) / len(mix) for size in sizes] for mix in values]
        return tuple(f"{name}:{size}x{size}" for size in sizes), np.array(rows)
    if variable.kind == "ordinal":
        low, high = min(values), max(values)
        scale = (high - low) or 1
        return (name,), np.array([[(value - low) / scale] for value in values], dtype=float)
    return tuple(f"{name}={value}" for value in values), np.eye(len(values))


def feature_names(space: Space) -> list[str]:
    """Name the features of `encode`, in order."""
    return [name for variable in space.variables for name in _table(variable)[0]]


def encode_all(space: Space, genotypes: Sequence[Genotype]) -> np.ndarray:
    """Return the features of genotypes, shape (len(genotypes), len(feature_names(space)))."""
    indices = np.asarray(genotypes, dtype=int).reshape(-1, len(space.variables))
    parts = []
    for variable, column in zip(space.variables, indices.T, strict=True):
        _, rows = _table(variable)
        parts.append(np.where((column == INACTIVE)[:, None], 0.0, rows[column]))
    return np.concatenate(parts, axis=1)


def encode(space: Space, genotype: Genotype) -> np.ndarray:
    """Return the features of a genotype, shape (len(feature_names(space)),)."""
    return np.asarray(encode_all(space, [genotype])[0])
