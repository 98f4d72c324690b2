"""Pareto fronts and their hypervolume, computed by moocore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import moocore
import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, numbers
from analysis.schema import Direction


@dataclass(frozen=True)
class Front:
    """The nondominated rows of a table.

    Attributes:
        objectives: Direction by column.
        rows: The front, with ties, sorted by the last objective.
        n: Rows that were compared.
        dropped: Rows left out because an objective is missing or not finite.
        reference: Reference point of the hypervolume, by column.
        hypervolume: Hypervolume that the front dominates within the reference point.
    """

    objectives: dict[str, Direction]
    rows: pd.DataFrame
    n: int
    dropped: int
    reference: dict[str, float]
    hypervolume: float


def signs(objectives: Mapping[str, Direction]) -> np.ndarray:
    """Return the factors that turn objectives into ones to minimize: 1 or -1, (objectives,)."""
    return np.array([-1.0 if direction == "max" else 1.0 for direction in objectives.values()])


def comparable(
    table: pd.DataFrame, objectives: Mapping[str, Direction]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have finite objectives, and these objectives, negated where maximized.

    moocore treats NaN as a number and returns wrong results silently, so nothing else may reach it.

    Returns:
        A mask of the comparable rows, (rows,), and their objectives to minimize,
        (comparable, objectives).

    Raises:
        AnalysisError: If a column is missing or is not numeric.
    """
    values = numbers(table, list(objectives))
    finite = np.asarray(np.isfinite(values).all(axis=1))
    return finite, values[finite] * signs(objectives)


def worst_point(
    points: np.ndarray, objectives: Mapping[str, Direction], given: Mapping[str, float] | None
) -> np.ndarray:
    """Return the reference point of a hypervolume, negated where maximized, (objectives,).

    Without a given point, it is the worst of the points plus a tenth of their range. This is
    BoTorch's `infer_reference_point`, but over all points instead of the front alone.

    Args:
        points: Objectives to minimize, (n, objectives).
        objectives: Direction by column.
        given: Reference point by column.

    Raises:
        AnalysisError: If the given point lacks an objective, names another one, or is not finite.
    """
    if given is not None:
        lacking = [name for name in objectives if name not in given]
        if lacking:
            raise AnalysisError(f"the reference point lacks {' and '.join(lacking)}")
        unknown = [name for name in given if name not in objectives]
        if unknown:
            names = " and ".join(objectives)
            raise AnalysisError(f"'{unknown[0]}' is not an objective; the objectives are {names}")
        odd = [name for name in given if not np.isfinite(given[name])]
        if odd:
            raise AnalysisError(
                f"the reference point must be finite, but {odd[0]} is {given[odd[0]]}"
            )
        return np.asarray([given[name] for name in objectives] * signs(objectives))
    worst = points.max(axis=0)
    return np.asarray(worst + 0.1 * np.maximum(worst - points.min(axis=0), 1e-7))


def pareto_front(
    table: pd.DataFrame,
    objectives: Mapping[str, Direction],
    reference: Mapping[str, float] | None = None,
) -> Front:
    """Return the rows that no other row dominates.

    Args:
        table: One row per network; see `comparable`.
        objectives: Direction by column.
        reference: Reference point of the hypervolume; see `worst_point` for None.

    Raises:
        AnalysisError: If a column is missing or not numeric, or the reference point is invalid.
    """
    finite, points = comparable(table, objectives)
    rows, dropped = table[finite], int((~finite).sum())
    if len(rows) == 0:
        return Front(
            objectives=dict(objectives),
            rows=rows,
            n=0,
            dropped=dropped,
            reference=dict(reference or {}),
            hypervolume=0.0,
        )
    worst = worst_point(points, objectives, reference)
    if reference is None:
        reference = dict(zip(objectives, (worst * signs(objectives)).tolist(), strict=True))
    front = rows[moocore.is_nondominated(points, keep_weakly=True)]
    return Front(
        objectives=dict(objectives),
        rows=front.sort_values(list(objectives)[::-1], kind="stable"),
        n=len(rows),
        dropped=dropped,
        reference=dict(reference),
        hypervolume=float(moocore.hypervolume(points, ref=worst)),
    )
