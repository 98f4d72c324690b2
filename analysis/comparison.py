"""Several searches side by side: their fronts, their progress, what most of them attain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fronts import Direction, Front, comparable, pareto_front, signs, worst_point
from analysis.indicators import Distance, Progress, attainment, distance, knee, progress
from analysis.tables import Population

FEWEST_SEEDS = 3  # runs that a surface with quartiles is drawn of, at least


@dataclass(frozen=True)
class Compared:
    """One of several searches.

    Attributes:
        population: its networks.
        front: of them, with the reference point that all share.
        progress: its hypervolume over evaluations, and over seconds where they are known.
        distance: of its front from that of all networks together.
        knee: row of the front after which more of one objective costs most of the other, or None.
    """

    population: Population
    front: Front
    progress: Progress
    distance: Distance
    knee: int | None


@dataclass(frozen=True)
class Comparison:
    """Several searches.

    Attributes:
        objectives: direction by column.
        reference: the hypervolume's reference point, by column.
        searches: in the order they were given.
        surfaces: by percentile, what so many of the searches attain; empty for fewer than three.
    """

    objectives: dict[str, Direction]
    reference: dict[str, float]
    searches: tuple[Compared, ...]
    surfaces: dict[float, pd.DataFrame]


def compare(
    populations: Sequence[Population], reference: Mapping[str, float] | None = None
) -> Comparison:
    """Compare searches by the fronts of their networks.

    Args:
        populations: of the same objectives.
        reference: the hypervolume's reference point; beyond the worst of all networks if None.

    Raises:
        AnalysisError: when objectives differ, or a search has no network to compare.
    """
    objectives = _common_objectives(populations)
    together = pd.concat([population.admitted for population in populations], ignore_index=True)
    _, points = comparable(together, objectives)
    if not len(points):
        raise AnalysisError("no network has finite objectives")
    worst = worst_point(points, objectives, reference) * signs(objectives)
    shared = dict(zip(objectives, worst.tolist(), strict=True))
    searches = []
    for population in populations:
        table = population.admitted
        front = pareto_front(table, objectives, shared)
        if not len(front.rows):
            raise AnalysisError(f"{population.name} has no network with finite objectives")
        searches.append(
            Compared(
                population,
                front,
                progress(table, objectives, shared, _seconds(table)),
                distance(table, together, objectives),
                knee(front.rows, objectives) if len(objectives) == 2 else None,
            )
        )
    enough = len(searches) >= FEWEST_SEEDS and len(objectives) == 2
    surfaces = attainment([p.admitted for p in populations], objectives) if enough else {}
    return Comparison(objectives, shared, tuple(searches), surfaces)


def _common_objectives(populations: Sequence[Population]) -> dict[str, Direction]:
    first = populations[0]
    for other in populations[1:]:
        if other.objectives != first.objectives:
            raise AnalysisError(
                f"{first.name} has the objectives {_text(first.objectives)}, {other.name} has "
                f"{_text(other.objectives)}; name them with --error or --score and --cost"
            )
    return first.objectives


def _text(objectives: Mapping[str, Direction]) -> str:
    return " and ".join(f"{name} ({direction})" for name, direction in objectives.items())


def _seconds(table: pd.DataFrame) -> str | None:
    """Return the column that says what an evaluation took."""
    for name in ("train_seconds", "seconds"):
        if name in table and np.isfinite(table[name].to_numpy(dtype=float)).all():
            return name
    return None


def comparison_data(found: Comparison) -> dict[str, Any]:
    """Return a comparison as data for JSON."""
    return {
        "objectives": found.objectives,
        "reference_point": found.reference,
        "searches": [
            {
                "name": search.population.name,
                "n": search.front.n,
                "dropped": search.front.dropped,
                "hypervolume": search.front.hypervolume,
                "front": search.front.rows[list(found.objectives)].to_dict("records"),
                "knee": search.knee,
                "epsilon": search.distance.epsilon,
                "igd_plus": search.distance.igd_plus,
                "progress": search.progress.table.to_dict("list"),
            }
            for search in found.searches
        ],
        "attainment": {
            str(percentile): rows.to_dict("records") for percentile, rows in found.surfaces.items()
        },
    }
