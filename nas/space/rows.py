"""Genotypes in the rows of tables, with a column ``x.NAME`` for every variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def genotype_of_cells(row: Mapping[str, str], space: Space) -> Genotype:
    """Return the genotype in a row of a file, all of whose cells are text; empty ones are missing.

    Raises:
        MixnasError: See `genotype_of_row`.
    """
    labels = {f"{VARIABLE_PREFIX}{each.name}": each.labels for each in space.variables}
    return genotype_of_row(
        {name: _label(row[name], labels[name]) for name in labels if row.get(name)}, space
    )


def _label(cell: str, labels: Sequence[Any]) -> Any:
    """Return the label that is written in a cell, in which 3 may be 3.0; other text as it is."""
    written = {str(label): label for label in labels}
    short = cell.removesuffix(".0")  # a column of whole numbers with gaps
    truth = cell.lower()  # truth beside text; see `nas.space.variables.truth`
    return next((written[text] for text in (cell, short, truth) if text in written), cell)


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN, which pandas uses for missing values
