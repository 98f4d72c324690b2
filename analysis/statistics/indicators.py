"""How good a front is: over time, against another front, over seeds; by moocore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, numbers
from analysis.statistics.fronts import Direction, comparable, signs, worst_point

CHUNK = 1_024  # points that are looked at together


def ranks(table: pd.DataFrame, objectives: Mapping[str, Direction]) -> pd.Series:
    """Return every row's front: 0 for the nondominated, 1 for those without these, and so on.

    Returns:
        Integers with the table's index; missing where an objective is not finite.

    Raises:
        AnalysisError: when a column is missing.
    """
    finite, points = comparable(table, objectives)
    found = pd.array([pd.NA] * len(table), dtype="Int64")
    if len(points):
        found[finite] = moocore.pareto_rank(points)
    return pd.Series(found, index=table.index, name="rank")


# -- over time --------------------------------------------------------------------------------


@dataclass(frozen=True)
class HypervolumeProgress:
    """The hypervolume after every evaluation.

    Attributes:
        table: the columns ``evaluations``, from 1 on, ``hypervolume``, and ``seconds`` where the
            seconds of evaluations are known; one row an evaluation, in order.
        reference: the hypervolume's reference point, by column.
        dropped: evaluations without finite objectives; they cost time and add nothing.
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
        table: one row an evaluation, in the order they ended.
        objectives: ``max`` or ``min`` by column.
        reference: the hypervolume's reference point; that of all rows if None.
        seconds: column with what each evaluation took; one that is not known counts as none, as
            that of a candidate that was refused before it was judged.

    Raises:
        AnalysisError: when a column is missing, or holds no numbers.
    """
    finite, points = comparable(table, objectives)
    values = np.zeros(len(table))
    given = dict(reference or {})
    if len(points):
        worst = worst_point(points, objectives, reference)
        given = dict(zip(objectives, (worst * signs(objectives)).tolist(), strict=True))
        values[finite] = _hypervolumes(points, worst)
    values = np.maximum.accumulate(values)
    found = pd.DataFrame({"evaluations": np.arange(1, len(table) + 1), "hypervolume": values})
    if seconds is not None:
        found["seconds"] = _elapsed(table, seconds)
    return HypervolumeProgress(found, given, int((~finite).sum()))


def _hypervolumes(points: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """Return the hypervolume of the first k points for every k; it changes with the front alone."""
    values = np.empty(len(points))
    front = np.empty((0, points.shape[1]))
    value = 0.0
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        values[start : start + CHUNK] = value
        # What the front so far beats changes nothing; the others are few.
        beaten = np.any(np.all(front <= chunk[:, None], axis=2), axis=1)
        for offset in np.flatnonzero(~beaten):
            point = chunk[offset]
            if not (front <= point).all(axis=1).any():
                front = np.vstack([front[~(point <= front).all(axis=1)], point])
                value = float(moocore.hypervolume(front, ref=worst))
                values[start + offset : start + CHUNK] = value
    return values


def _elapsed(table: pd.DataFrame, seconds: str) -> np.ndarray:
    took = numbers(table, [seconds])[:, 0]
    return np.asarray(np.cumsum(np.where(np.isfinite(took), took, 0.0)))


# -- against another front --------------------------------------------------------------------


@dataclass(frozen=True)
class FrontDistance:
    """How far a front is from another one, as that of all networks of a table.

    Both are of objectives scaled so that the other front spans 0 to 1 in each.

    Attributes:
        epsilon: what must be taken off every objective for the front to be as good (additive
            epsilon, Zitzler et al. 2003); 0 or less where it is.
        igd_plus: mean distance from the other front's points to what the front dominates (IGD+,
            Ishibuchi et al. 2015).
        dropped: rows left out of both, since an objective is not finite.
    """

    epsilon: float
    igd_plus: float
    dropped: int


def distance(
    table: pd.DataFrame, other: pd.DataFrame, objectives: Mapping[str, Direction]
) -> FrontDistance:
    """Compare the front of a table with that of another.

    Raises:
        AnalysisError: when a column is missing, or one of them has no row to compare.
    """
    kept, points = comparable(table, objectives)
    others, wanted = comparable(other, objectives)
    if not len(points) or not len(wanted):
        raise AnalysisError("a front has no row whose objectives are all finite")
    wanted = wanted[moocore.is_nondominated(wanted)]
    low = wanted.min(axis=0)
    span = np.ptp(wanted, axis=0)
    span[span == 0] = 1.0
    points, wanted = (points - low) / span, (wanted - low) / span
    return FrontDistance(
        float(moocore.epsilon_additive(points, ref=wanted)),
        float(moocore.igd_plus(points, ref=wanted)),
        int((~kept).sum() + (~others).sum()),
    )


# -- over seeds -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attainment:
    """What a share of several runs attains.

    Attributes:
        surfaces: by percentile, the corners of what so many runs reach or surpass: rows with the
            objectives' columns, ordered by the last objective.
        runs: how many.
        dropped: rows left out of all, since an objective is not finite.
    """

    surfaces: dict[float, pd.DataFrame]
    runs: int
    dropped: int


def attainment(
    tables: Sequence[pd.DataFrame],
    objectives: Mapping[str, Direction],
    percentiles: Sequence[float] = (25, 50, 75),
) -> Attainment:
    """Return what a share of several runs attains (Fonseca et al. 2011), in two objectives.

    Args:
        tables: one a run, as of several seeds.
        objectives: ``max`` or ``min`` by column.
        percentiles: shares of the runs, in percent.

    Raises:
        AnalysisError: when a column is missing, a run has nothing to compare, or there are not
            two objectives.
    """
    if len(objectives) != 2:
        raise AnalysisError(f"attainment surfaces are of two objectives, not {len(objectives)}")
    found = [comparable(table, objectives) for table in tables]
    runs = [points for _, points in found]
    if not runs or not all(len(points) for points in runs):
        raise AnalysisError("every run needs a row whose objectives are all finite")
    sets = np.repeat(np.arange(len(runs)), [len(points) for points in runs])
    surface = moocore.eaf(np.vstack(runs), sets, percentiles=list(percentiles))
    corners: dict[float, pd.DataFrame] = {}
    for percentile in percentiles:
        points = surface[np.isclose(surface[:, -1], percentile), :-1] * signs(objectives)
        rows = pd.DataFrame(points, columns=list(objectives))
        corners[percentile] = rows.sort_values(list(objectives)[::-1], ignore_index=True)
    return Attainment(corners, len(runs), int(sum((~finite).sum() for finite, _ in found)))


# -- the knee ---------------------------------------------------------------------------------


def knee(front: pd.DataFrame, objectives: Mapping[str, Direction]) -> int | None:
    """Return the position of the front's knee, where more of one costs most of the other.

    It is the point farthest beyond the line between the front's ends, both objectives scaled to
    their range on the front (Das 1999, normal boundary intersection); the faster of two.

    Returns:
        The row's position; None for fronts of fewer than three different points, or where all
        others lie behind the line.

    Raises:
        AnalysisError: when a column is missing, there are not two objectives, or a row has none.
    """
    if len(objectives) != 2:
        raise AnalysisError(f"a knee is of two objectives, not {len(objectives)}")
    finite, points = comparable(front, objectives)
    if not finite.all():
        raise AnalysisError("a front has no rows without objectives")
    if len(np.unique(points, axis=0)) < 3:
        return None
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    beyond = 1.0 - scaled.sum(axis=1)  # over the line from (0, 1) to (1, 0)
    best = int(np.argmax(np.round(beyond, 12)))
    return best if beyond[best] > 1e-9 else None
