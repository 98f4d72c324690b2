"""Genotypes in the rows of tables, with a column ``x.NAME`` for every variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.space.space import Space
from nas.space.variables import Genotype

VARIABLE_PREFIX = "x."


def genotype_of_row(row: Mapping[Any, Any], space: Space) -> Genotype:
    """Return the genotype in a row of a table.

    Raises:
        MixnasError: If an active variable has no value, or one that the space does not have.
    """
    params = {
        name.removeprefix(VARIABLE_PREFIX): value
        for name, value in row.items()
        if name.startswith(VARIABLE_PREFIX) and not _missing(value)
    }
    return space.from_params(params)


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN, which pandas uses for missing values
