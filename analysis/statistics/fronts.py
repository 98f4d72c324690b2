"""Pareto fronts and hypervolume, by moocore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, numbers

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


def signs(objectives: Mapping[str, Direction]) -> np.ndarray:
    """Return what makes every objective one to be minimised: 1 or -1, (objectives,)."""
    return np.array([-1.0 if direction == "max" else 1.0 for direction in objectives.values()])


def comparable(
    table: pd.DataFrame, objectives: Mapping[str, Direction]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have finite objectives, and these, to be minimised.

    moocore treats NaN as a number and is silently wrong, so nothing else may reach it.

    Returns:
        A mask, (rows,), and the objectives of the rows that it keeps, (kept, objectives).

    Raises:
        AnalysisError: when a column is missing, or holds no numbers.
    """
    values = numbers(table, list(objectives))
    finite = np.asarray(np.isfinite(values).all(axis=1))
    return finite, values[finite] * signs(objectives)


def worst_point(
    points: np.ndarray, objectives: Mapping[str, Direction], given: Mapping[str, float] | None
) -> np.ndarray:
    """Return a reference point for a hypervolume, to be minimised, (objectives,).

    Where none is given, it is the worst of the points, (n, objectives), and a tenth of their range
    more, as BoTorch's `infer_reference_point`; but of all points and not of the front alone.

    Raises:
        AnalysisError: when the given one lacks an objective, names another one, or is not finite.
    """
    if given is not None:
        lacking = [name for name in objectives if name not in given]
        if lacking:
            raise AnalysisError(f"a reference point wants {' and '.join(lacking)}, too")
        unknown = [name for name in given if name not in objectives]
        if unknown:
            there = " and ".join(objectives)
            raise AnalysisError(f"'{unknown[0]}' is no objective here; there are {there}")
        odd = [name for name in given if not np.isfinite(given[name])]
        if odd:
            raise AnalysisError(f"a reference point is finite, but {odd[0]} is {given[odd[0]]}")
        return np.asarray([given[name] for name in objectives] * signs(objectives))
    worst = points.max(axis=0)
    return np.asarray(worst + 0.1 * np.maximum(worst - points.min(axis=0), 1e-7))


def pareto_front(
    table: pd.DataFrame,
    objectives: Mapping[str, Direction],
    reference: Mapping[str, float] | None = None,
) -> Front:
    """Return the rows that no other row beats in all objectives.

    Args:
        table: one row a network; see `comparable`.
        objectives: ``max`` or ``min`` by column.
        reference: the hypervolume's reference point; `worst_point` if None.

    Raises:
        AnalysisError: when a column is missing.
    """
    finite, points = comparable(table, objectives)
    rows, dropped = table[finite], int((~finite).sum())
    if len(rows) == 0:
        return Front(dict(objectives), rows, 0, dropped, dict(reference or {}), 0.0)
    worst = worst_point(points, objectives, reference)
    if reference is None:
        reference = dict(zip(objectives, (worst * signs(objectives)).tolist(), strict=True))
    front = rows[moocore.is_nondominated(points, keep_weakly=True)]
    return Front(
        dict(objectives),
        front.sort_values(list(objectives)[::-1], kind="stable"),
        len(rows),
        dropped,
        dict(reference),
        float(moocore.hypervolume(points, ref=worst)),
    )
