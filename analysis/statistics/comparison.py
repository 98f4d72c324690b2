"""Several searches side by side: their fronts, their progress, what most of them attain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError, is_numeric
from analysis.read.population import NEGATED, Population
from analysis.statistics.fronts import (
    Direction,
    Front,
    comparable,
    pareto_front,
    signs,
    worst_point,
)
from analysis.statistics.indicators import (
    Attainment,
    FrontDistance,
    HypervolumeProgress,
    attainment,
    distance,
    knee,
    progress,
)

FEWEST_SEEDS = 3  # runs that a surface with quartiles is drawn of, at least


@dataclass(frozen=True)
class ComparedSearch:
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
    progress: HypervolumeProgress
    distance: FrontDistance
    knee: int | None


@dataclass(frozen=True)
class Comparison:
    """Several searches.

    Attributes:
        objectives: direction by column.
        reference: the hypervolume's reference point, by column.
        searches: in the order they were given.
        attained: what a quarter, half and three quarters of the searches attain; None for fewer
            than three.
    """

    objectives: dict[str, Direction]
    reference: dict[str, float]
    searches: tuple[ComparedSearch, ...]
    attained: Attainment | None


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
    tables = [population.admitted for population in populations]
    together = pd.concat(tables, ignore_index=True)
    _, points = comparable(together, objectives)
    if not len(points):
        raise AnalysisError("no network has finite objectives")
    worst = worst_point(points, objectives, reference) * signs(objectives)
    shared = dict(zip(objectives, worst.tolist(), strict=True))
    searches = []
    for population, table in zip(populations, tables, strict=True):
        front = pareto_front(table, objectives, shared)
        if not len(front.rows):
            raise AnalysisError(f"{population.name} has no network with finite objectives")
        searches.append(
            ComparedSearch(
                population,
                front,
                progress(population.attempts, objectives, shared, _seconds(population.rows)),
                distance(table, together, objectives),
                knee(front.rows, objectives) if len(objectives) == 2 else None,
            )
        )
    enough = len(searches) >= FEWEST_SEEDS and len(objectives) == 2
    attained = attainment(tables, objectives) if enough else None
    return Comparison(objectives, shared, tuple(searches), attained)


def _common_objectives(populations: Sequence[Population]) -> dict[str, Direction]:
    first = populations[0]
    for other in populations[1:]:
        if other.label != first.label:
            raise AnalysisError(
                f"{first.name} has {_told(first)}, {other.name} has {_told(other)}, which are not "
                "of one kind; name a column that both have with --error or --score"
            )
        if other.objectives != first.objectives:
            raise AnalysisError(
                f"{first.name} has the objectives {_text(first.objectives)}, {other.name} has "
                f"{_text(other.objectives)}; name them with --error or --score and --cost"
            )
    return first.objectives


def _told(population: Population) -> str:
    return population.label.removeprefix(NEGATED)


def mixed(populations: Sequence[Population]) -> str:
    """Say in which of data and device runs differ, so that their fronts are not of one kind."""
    words = []
    for what in ("data", "device"):
        known = list(dict.fromkeys(p.about[what] for p in populations if what in p.about))
        if len(known) > 1:
            words.append(f"not the same {what}: {', '.join(known)}")
    return "; ".join(words)


def _text(objectives: Mapping[str, Direction]) -> str:
    return " and ".join(f"{name} ({direction})" for name, direction in objectives.items())


def _seconds(table: pd.DataFrame) -> str | None:
    """Return the column that says what an evaluation took."""
    for name in ("train_seconds", "seconds"):
        if name in table and is_numeric(table[name]) and table[name].notna().any():
            return name
    return None


def _steps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which the hypervolume grows, and the last one."""
    grows = table["hypervolume"].diff().fillna(1.0) > 0
    grows.iloc[-1:] = True
    return table[grows]


def _attainment_data(found: Attainment) -> dict[str, Any]:
    surfaces = {str(share): rows.to_dict("records") for share, rows in found.surfaces.items()}
    return {"surfaces": surfaces, "runs": found.runs, "dropped": found.dropped}


def comparison_data(found: Comparison) -> dict[str, Any]:
    """Return a comparison as data for JSON."""
    return {
        "objectives": found.objectives,
        "reference_point": found.reference,
        "mixed": mixed([search.population for search in found.searches]),
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
                "progress": _steps(search.progress.table).to_dict("list"),
            }
            for search in found.searches
        ],
        "attainment": None if found.attained is None else _attainment_data(found.attained),
    }
