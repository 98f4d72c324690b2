"""Comparison of several searches: their fronts, their progress, and what most of them attain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError, is_numeric
from analysis.read.population import Population
from analysis.read.runs import FACTS
from analysis.schema import NEGATED, Direction
from analysis.statistics.fronts import (
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

FEWEST_SEEDS = 3
"""Fewest runs for attainment surfaces, since they show quartiles."""
MOST_CHANGES = 3
"""Number of conditions that are named at most where runs differ."""
SHORT = 24
"""Number of characters of a condition's value that are shown at most."""


@dataclass(frozen=True)
class ComparedSearch:
    """One of several searches.

    Attributes:
        population: Networks of the search.
        front: Their front, with the reference point that all searches share.
        progress: Its hypervolume over evaluations, and over seconds if they are known.
        distance: Distance of its front from the front of all networks together.
        knee: Position of the knee in the front's rows; None if there is none.
    """

    population: Population
    front: Front
    progress: HypervolumeProgress
    distance: FrontDistance
    knee: int | None


@dataclass(frozen=True)
class Comparison:
    """A comparison of several searches.

    Attributes:
        objectives: Direction by column.
        reference: Reference point of the hypervolume, by column.
        searches: The searches in the order given.
        attained: What a quarter, half and three quarters of the searches attain; None for fewer
            than three searches or other than two objectives.
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
        populations: Networks of each search, with the same objectives.
        reference: Reference point of the hypervolume; slightly worse than all networks if None.

    Raises:
        AnalysisError: If objectives differ, or a search has no network with finite objectives.
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
                population=population,
                front=front,
                progress=progress(
                    population.attempts, objectives, shared, _seconds_column(population.rows)
                ),
                distance=distance(table, together, objectives),
                knee=knee(front.rows, objectives) if len(objectives) == 2 else None,
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
                f"{first.name} has {_quality(first)}, {other.name} has {_quality(other)}, which "
                "cannot be compared; name a column that both have with --error or --score"
            )
        if other.objectives != first.objectives:
            raise AnalysisError(
                f"{first.name} has the objectives {_text(first.objectives)}, {other.name} has "
                f"{_text(other.objectives)}; name them with --error or --score and --cost"
            )
    return first.objectives


def _quality(population: Population) -> str:
    """Return the name of the error, or of the score behind it."""
    return population.label.removeprefix(NEGATED)


def condition_mismatch(populations: Sequence[Population]) -> str:
    """Describe how runs differ in what their numbers rest on, which makes fronts incomparable.

    Scores are comparable if they come from the same data and estimator, with the same weights if
    networks share them; latencies, if they come from the same device under the same conditions.

    Returns:
        The differences as text; empty if there is none.
    """
    differences = []
    # Where the contents of the data sets are known, their names say nothing: one may be moved.
    contents = [p.about.get("scores", {}).get("data_fingerprint") for p in populations]
    names = ("device", "estimator") if all(contents) else ("data", "device", "estimator")
    for key in names:
        values = list(dict.fromkeys(p.about[key] for p in populations if key in p.about))
        if len(values) > 1:
            differences.append(f"different {key}: {', '.join(values)}")
    for key in FACTS:
        recorded = [p.about[key] for p in populations if key in p.about]
        if changed := _changes(recorded):
            differences.append(f"different {key}: {changed}")
    return "; ".join(differences)


def _changes(recorded: Sequence[Mapping[str, Any]]) -> str:
    """Return the facts that differ between runs with their values, the first ones only."""
    names = dict.fromkeys(name for facts in recorded for name in facts)
    texts = {name: [_short(facts.get(name)) for facts in recorded] for name in names}
    changed = [
        f"{name} {' or '.join(dict.fromkeys(values))}"
        for name, values in texts.items()
        if len({json.dumps(facts.get(name), sort_keys=True) for facts in recorded}) > 1
    ]
    # The weights of a supernet follow from all other settings, and tell two of them apart at once.
    changed.sort(key=lambda text: not text.startswith("weights "))
    more = len(changed) - MOST_CHANGES
    return ", ".join(changed[:MOST_CHANGES]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."


def _text(objectives: Mapping[str, Direction]) -> str:
    return " and ".join(f"{name} ({direction})" for name, direction in objectives.items())


def _seconds_column(table: pd.DataFrame) -> str | None:
    """Return the column of the duration of evaluations; None if there is none."""
    for name in ("train_seconds", "seconds"):
        if name in table and is_numeric(table[name]) and table[name].notna().any():
            return name
    return None


def _increases(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which the hypervolume increases, and the last one."""
    grows = table["hypervolume"].diff().fillna(1.0) > 0
    grows.iloc[-1:] = True
    return table[grows]


def _attainment_data(attained: Attainment) -> dict[str, Any]:
    surfaces = {str(share): rows.to_dict("records") for share, rows in attained.surfaces.items()}
    return {"surfaces": surfaces, "runs": attained.runs, "dropped": attained.dropped}


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as data for JSON."""
    return {
        "objectives": comparison.objectives,
        "reference_point": comparison.reference,
        "mixed": condition_mismatch([search.population for search in comparison.searches]),
        "searches": [
            {
                "name": search.population.name,
                "n": search.front.n,
                "dropped": search.front.dropped,
                "hypervolume": search.front.hypervolume,
                "front": search.front.rows[list(comparison.objectives)].to_dict("records"),
                "knee": search.knee,
                "epsilon": search.distance.epsilon,
                "igd_plus": search.distance.igd_plus,
                "progress": _increases(search.progress.table).to_dict("list"),
            }
            for search in comparison.searches
        ],
        "attainment": None
        if comparison.attained is None
        else _attainment_data(comparison.attained),
    }
