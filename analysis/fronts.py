"""Pareto fronts and hypervolume, by moocore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Front:
    """The nondominated rows of a table.

    Attributes:
        objectives: direction by column.
        rows: the front, ties kept, ordered by the last objective.
        n: rows that were compared.
        dropped: rows left out, since an objective is missing or not finite.
        reference: the hypervolume's reference point, by column.
        hypervolume: dominated by the front within the reference point.
    """

    objectives: dict[str, Direction]
    rows: pd.DataFrame
    n: int
    dropped: int
    reference: dict[str, float]
    hypervolume: float


def _points(table: pd.DataFrame, objectives: Mapping[str, Direction]) -> np.ndarray:
    """Return the objectives as a matrix to be minimised, shape (rows, objectives)."""
    signs = np.array([-1.0 if d == "max" else 1.0 for d in objectives.values()])
    return np.asarray(table[list(objectives)].to_numpy(dtype=float) * signs)


def pareto_front(
    table: pd.DataFrame,
    objectives: Mapping[str, Direction],
    reference: Mapping[str, float] | None = None,
) -> Front:
    """Return the rows that no other row beats in all objectives.

    moocore treats NaN as a number and is silently wrong, so rows with a value that is not finite
    are left out first, and counted.

    Args:
        table: one row a network.
        objectives: ``max`` or ``min`` by column.
        reference: the hypervolume's reference point; the worst value plus a tenth of the range
            in each objective if None (as BoTorch's `infer_reference_point`, from all rows).

    Raises:
        AnalysisError: when a column is missing.
    """
    missing = [column for column in objectives if column not in table.columns]
    if missing:
        raise AnalysisError(
            f"the table has no column '{missing[0]}'; it has {', '.join(map(str, table.columns))}"
        )
    names = list(objectives)
    finite = np.isfinite(table[names].to_numpy(dtype=float)).all(axis=1)
    rows = table[finite]
    points = _points(rows, objectives)
    if len(rows) == 0:
        return Front(dict(objectives), rows, 0, int((~finite).sum()), dict(reference or {}), 0.0)
    front = rows[moocore.is_nondominated(points, keep_weakly=True)]
    if reference is None:
        spread = points.max(axis=0) - points.min(axis=0)
        worst = points.max(axis=0) + 0.1 * np.maximum(spread, 1e-7)
        signs = _points(pd.DataFrame([dict.fromkeys(names, 1.0)]), objectives)[0]
        reference = dict(zip(names, (worst * signs).tolist(), strict=True))
    worst = _points(pd.DataFrame([dict(reference)]), objectives)[0]
    return Front(
        dict(objectives),
        front.sort_values(names[::-1], kind="stable"),
        len(rows),
        int((~finite).sum()),
        dict(reference),
        float(moocore.hypervolume(points, ref=worst)),
    )
