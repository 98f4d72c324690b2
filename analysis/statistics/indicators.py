"""Quality indicators of fronts: over time, against another front, and over seeds.

They are computed by moocore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, numbers
from analysis.schema import Direction
from analysis.statistics.fronts import comparable, signs, worst_point

CHUNK = 1_024  # points that are compared with the front at once


def ranks(table: pd.DataFrame, objectives: Mapping[str, Direction]) -> pd.Series:
    """Return the index of each row's front: 0 if nondominated, 1 without those rows, and so on.

    Returns:
        Integers with the table's index; missing where an objective is not finite.

    Raises:
        AnalysisError: If a column is missing or not numeric.
    """
    finite, points = comparable(table, objectives)
    values = pd.array([pd.NA] * len(table), dtype="Int64")
    if len(points):
        values[finite] = moocore.pareto_rank(points)
    return pd.Series(values, index=table.index, name="rank")


# -- over time --------------------------------------------------------------------------------


@dataclass(frozen=True)
class HypervolumeProgress:
    """The hypervolume after each evaluation.

    Attributes:
        table: One row per evaluation in order: ``evaluations`` from 1, ``hypervolume``, and the
            elapsed ``seconds`` if they are known.
        reference: Reference point of the hypervolume, by column.
        dropped: Evaluations without finite objectives; they take time but add nothing.
    """

    table: pd.DataFrame
    reference: dict[str, float]
    dropped: int


def progress(
    table: pd.DataFrame,
    objectives: Mapping[str, Direction],
    reference: Mapping[str, float] | None = None,
    seconds: str | None = None,
) -> HypervolumeProgress:
    """Return the hypervolume of the rows so far, over evaluations and seconds.

    Args:
        table: One row per evaluation, in the order in which they ended.
        objectives: Direction by column.
        reference: Reference point of the hypervolume; that of all rows if None.
        seconds: Column of the duration of each evaluation; a missing duration counts as 0, such as
            that of a candidate rejected before it was evaluated.

    Raises:
        AnalysisError: If a column is missing or is not numeric.
    """
    finite, points = comparable(table, objectives)
    values = np.zeros(len(table))
    used = dict(reference or {})
    if len(points):
        worst = worst_point(points, objectives, reference)
        used = dict(zip(objectives, (worst * signs(objectives)).tolist(), strict=True))
        values[finite] = _hypervolumes(points, worst)
    values = np.maximum.accumulate(values)
    steps = pd.DataFrame({"evaluations": np.arange(1, len(table) + 1), "hypervolume": values})
    if seconds is not None:
        steps["seconds"] = _elapsed(table, seconds)
    return HypervolumeProgress(steps, used, int((~finite).sum()))


def _hypervolumes(points: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """Return the hypervolume of the first k points for every k, (points,).

    It is computed anew only when the front changes.
    """
    values = np.empty(len(points))
    front = np.empty((0, points.shape[1]))
    value = 0.0
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        values[start : start + CHUNK] = value
        # Points that the front so far dominates change nothing, and few others are left.
        dominated = np.any(np.all(front <= chunk[:, None], axis=2), axis=1)
        for offset in np.flatnonzero(~dominated):
            point = chunk[offset]
            if not (front <= point).all(axis=1).any():
                front = np.vstack([front[~(point <= front).all(axis=1)], point])
                value = float(moocore.hypervolume(front, ref=worst))
                values[start + offset : start + CHUNK] = value
    return values


def _elapsed(table: pd.DataFrame, seconds: str) -> np.ndarray:
    durations = numbers(table, [seconds])[:, 0]
    return np.asarray(np.cumsum(np.where(np.isfinite(durations), durations, 0.0)))


# -- against another front --------------------------------------------------------------------


@dataclass(frozen=True)
class FrontDistance:
    """Distance of a front from a target front, such as that of all networks together.

    Objectives are scaled so that the target front spans 0 to 1 in each.

    Attributes:
        epsilon: What must be subtracted from every objective for the front to be as good as the
            target (additive epsilon, Zitzler et al. 2003); 0 or less if it already is.
        igd_plus: Mean distance from the target's points to the region that the front dominates
            (IGD+, Ishibuchi et al. 2015).
        dropped: Rows left out of both tables because an objective is not finite.
    """

    epsilon: float
    igd_plus: float
    dropped: int


def distance(
    table: pd.DataFrame, target: pd.DataFrame, objectives: Mapping[str, Direction]
) -> FrontDistance:
    """Compare the front of a table with the front of a target table.

    Raises:
        AnalysisError: If a column is missing or not numeric, or a table has no comparable row.
    """
    finite, points = comparable(table, objectives)
    target_finite, target_points = comparable(target, objectives)
    if not len(points) or not len(target_points):
        raise AnalysisError("a front has no row whose objectives are all finite")
    front = target_points[moocore.is_nondominated(target_points)]
    low = front.min(axis=0)
    span = np.ptp(front, axis=0)
    span[span == 0] = 1.0
    points, front = (points - low) / span, (front - low) / span
    return FrontDistance(
        epsilon=float(moocore.epsilon_additive(points, ref=front)),
        igd_plus=float(moocore.igd_plus(points, ref=front)),
        dropped=int((~finite).sum() + (~target_finite).sum()),
    )


# -- over seeds -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attainment:
    """What given shares of several runs attain.

    Attributes:
        surfaces: By percentile, the corners of the region that so many runs attain: rows with the
            columns of the objectives, sorted by the last one.
        runs: Number of runs.
        dropped: Rows left out of all runs because an objective is not finite.
    """

    surfaces: dict[float, pd.DataFrame]
    runs: int
    dropped: int


def attainment(
    tables: Sequence[pd.DataFrame],
    objectives: Mapping[str, Direction],
    percentiles: Sequence[float] = (25, 50, 75),
) -> Attainment:
    """Return what shares of several runs attain (Fonseca et al. 2011), in two objectives.

    Args:
        tables: One table per run, for example of several seeds.
        objectives: Direction by column.
        percentiles: Shares of the runs, in percent.

    Raises:
        AnalysisError: If a column is missing or not numeric, a run has no comparable row, or there
            are not two objectives.
    """
    if len(objectives) != 2:
        raise AnalysisError(f"attainment surfaces need two objectives, not {len(objectives)}")
    compared = [comparable(table, objectives) for table in tables]
    runs = [points for _, points in compared]
    if not runs or not all(len(points) for points in runs):
        raise AnalysisError("every run needs a row whose objectives are all finite")
    sets = np.repeat(np.arange(len(runs)), [len(points) for points in runs])
    surface = moocore.eaf(np.vstack(runs), sets, percentiles=list(percentiles))
    corners: dict[float, pd.DataFrame] = {}
    for percentile in percentiles:
        points = surface[np.isclose(surface[:, -1], percentile), :-1] * signs(objectives)
        rows = pd.DataFrame(points, columns=list(objectives))
        corners[percentile] = rows.sort_values(list(objectives)[::-1], ignore_index=True)
    return Attainment(corners, len(runs), int(sum((~finite).sum() for finite, _ in compared)))


# -- the knee ---------------------------------------------------------------------------------


def knee(front: pd.DataFrame, objectives: Mapping[str, Direction]) -> int | None:
    """Return the position of a front's knee, beyond which one objective costs much of the other.

    It is the point farthest beyond the line between the front's ends, with both objectives scaled
    to their range on the front (Das 1999, normal-boundary intersection); the first of equal points.

    Args:
        front: Rows of a front, sorted by the last objective.
        objectives: Direction by column.

    Returns:
        The position of the row; None for fronts of fewer than three distinct points, or if no point
        lies beyond the line.

    Raises:
        AnalysisError: If a column is missing, there are not two objectives, or one is not finite.
    """
    if len(objectives) != 2:
        raise AnalysisError(f"a knee needs two objectives, not {len(objectives)}")
    finite, points = comparable(front, objectives)
    if not finite.all():
        raise AnalysisError("every row of a front must have finite objectives")
    if len(np.unique(points, axis=0)) < 3:
        return None
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    beyond = 1.0 - scaled.sum(axis=1)  # the line from (0, 1) to (1, 0)
    best = int(np.argmax(np.round(beyond, 12)))
    return best if beyond[best] > 1e-9 else None
