"""Numeric encoding of genotypes, for models of accuracy and latency.

A mix of kernels is encoded as the fraction of kernel groups of every size (0 without any), a number
by its value scaled to 0..1, and anything else one-hot. All features of an inactive variable are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nas.space.space import Space
from nas.space.variables import INACTIVE, Genotype, Variable


@lru_cache(maxsize=4096)
def _table(variable: Variable) -> tuple[tuple[str, ...], np.ndarray]:
    """Return a variable's feature names and its features, shape (values, features)."""
    name, values = variable.name, variable.values
    if variable.kind == "kernels":
        sizes = sorted({kernel for mix in values for kernel in mix})
        rows = [[mix.count(size) / max(len(mix), 1) for size in sizes] for mix in values]
        return tuple(f"{name}:{size}x{size}" for size in sizes), np.array(rows)
    if variable.kind == "ordinal":
        low, high = min(values), max(values)
        scale = (high - low) or 1
        return (name,), np.array([[(value - low) / scale] for value in values], dtype=float)
    return tuple(f"{name}={value}" for value in values), np.eye(len(values))


def feature_names(space: Space) -> list[str]:
    """Return the names of the features of `encode`, in order."""
    return [name for variable in space.variables for name in _table(variable)[0]]


def encode_all(space: Space, genotypes: Sequence[Genotype]) -> np.ndarray:
    """Return the features of several genotypes, shape (genotypes, features)."""
    indices = np.asarray(genotypes, dtype=int).reshape(-1, len(space.variables))
    parts = []
    for variable, column in zip(space.variables, indices.T, strict=True):
        _, rows = _table(variable)
        parts.append(np.where((column == INACTIVE)[:, None], 0.0, rows[column]))
    return np.concatenate(parts, axis=1)


def encode(space: Space, genotype: Genotype) -> np.ndarray:
    """Return the features of one genotype, shape (features,); see `feature_names`."""
    return np.asarray(encode_all(space, [genotype])[0])
