"""``python -m analysis pareto`` and ``compare``: the fronts of one or several searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from analysis.errors import AnalysisError
from analysis.figures.fronts import (
    attainment_figure,
    baselines_figure,
    fronts_figure,
    progress_figure,
)
from analysis.read.population import COSTS, Population, network_name
from analysis.read.runs import json_text
from analysis.statistics.comparison import (
    Comparison,
    compare,
    comparison_data,
    condition_mismatch,
)
from analysis.statistics.published import LABEL, published_in_range, published_table
from analysis.units import value_text

FRONT_COLUMNS = ("number", "name", "spec_hash", *COSTS)
"""Columns of a front in JSON, before those of the objectives."""


@dataclass(frozen=True)
class Fronts:
    """Result of the commands.

    Attributes:
        comparison: Comparison of the searches; there may be only one.
        published: Published networks to compare with; None for none.
    """

    comparison: Comparison
    published: pd.DataFrame | None

    @property
    def populations(self) -> list[Population]:
        """Networks of each search."""
        return [search.population for search in self.comparison.searches]


def fronts(
    populations: Sequence[Population],
    against: str | None,
    families: Sequence[str],
    reference: dict[str, float] | None = None,
) -> Fronts:
    """Compare populations, and look up published networks with similar multiply-adds.

    Args:
        populations: Networks of each search.
        against: ``baselines`` for published networks; None for none.
        families: Families of published networks; all if empty.
        reference: Reference point of the hypervolume, by column; None to derive it.

    Raises:
        AnalysisError: If the populations are not comparable, or have no multiply-adds where they
            are needed.
    """
    comparison = compare(populations, reference)
    return Fronts(comparison, published_in_range(populations, against, families))


def parse_reference(text: str | None) -> dict[str, float] | None:
    """Parse a reference point such as ``accuracy=0.5,latency_ms=20``; 0.5 may be written 50%.

    Raises:
        AnalysisError: If a part is not of the form NAME=NUMBER.
    """
    if text is None:
        return None
    point = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        number = value.strip().removesuffix("%")
        try:
            point[name.strip()] = float(number) / (100 if "%" in value else 1)
        except ValueError:
            equals = ""
        if not equals:
            raise AnalysisError(
                f"'{part}' is not part of a reference point; write NAME=NUMBER: latency_ms=20"
            )
    return point


# -- output -----------------------------------------------------------------------------------


def as_json(result: Fronts) -> str:
    """Return fronts as JSON text; the data of a single search are at the top level."""
    comparison = result.comparison
    data = comparison_data(comparison)
    for search, row in zip(comparison.searches, data["searches"], strict=True):
        columns = [name for name in FRONT_COLUMNS if name in search.front.rows]
        columns += [name for name in comparison.objectives if name not in columns]
        row["front"] = search.front.rows[columns].to_dict("records")
        row["limits"] = search.population.limits
    if len(comparison.searches) == 1:
        del data["attainment"]
        data |= data.pop("searches")[0]
    if result.published is not None:
        data["published"] = {"label": LABEL, "networks": result.published.to_dict("records")}
    return json_text(data)


def show(result: Fronts, console: Console) -> None:
    """Print fronts as tables."""
    comparison = result.comparison
    if mismatch := condition_mismatch(result.populations):
        console.print(f"Caution: the searches are not directly comparable ({mismatch}).")
    console.print(_searches_table(comparison))
    if len(comparison.searches) == 1:
        console.print(_front_table(comparison))
    if result.published is not None:
        console.print(published_table(result.published))


def _searches_table(comparison: Comparison) -> Table:
    """Return a table with one row per search; distances only if there are several."""
    shares = comparison.searches[0].population.shares
    point = ", ".join(
        f"{name} {value_text(name, value, name in shares)}"
        for name, value in comparison.reference.items()
    )
    table = Table(title=f"Fronts (reference point: {point})", title_justify="left")
    table.add_column("search")
    several = len(comparison.searches) > 1
    names = ("networks", "excluded", "on the front", "hypervolume", "knee")
    for name in (*names, *(("epsilon", "IGD+") if several else ())):
        table.add_column(name, justify="right")
    for search in comparison.searches:
        knee = "-"
        if search.knee is not None:
            row = search.front.rows.iloc[search.knee]
            cells = (value_text(name, row[name], name in shares) for name in comparison.objectives)
            knee = ", ".join(cells)
        distances = (search.distance.epsilon, search.distance.igd_plus) if several else ()
        table.add_row(
            search.population.name,
            f"{search.front.n:,}",
            f"{search.population.seen - search.front.n:,}",
            str(len(search.front.rows)),
            f"{search.front.hypervolume:.4g}",
            knee,
            *(f"{distance:.3f}" for distance in distances),
        )
    return table


def _front_table(comparison: Comparison) -> Table:
    """Return the front of a single search and its reference networks, the cheapest first."""
    (search,) = comparison.searches
    population = search.population
    table = Table(title=f"Front of {population.name}", title_justify="left")
    if population.limits:
        limits = ", ".join(f"{metric} {text}" for metric, text in population.limits.items())
        table.caption = f"limits: {limits}"
    columns = list(comparison.objectives)
    columns += [name for name in COSTS if name in search.front.rows and name not in columns]
    for name in ("network", "group", *columns):
        table.add_column(name, justify="left" if name in ("network", "group") else "right")
    groups = {"front": search.front.rows, "reference": population.references}
    rows = [(row, group) for group, part in groups.items() for _, row in part.iterrows()]
    cost = list(comparison.objectives)[-1]
    for row, group in sorted(rows, key=lambda pair: _sort_key(pair[0].get(cost))):
        cells = (value_text(name, row.get(name), name in population.shares) for name in columns)
        table.add_row(network_name(row), group, *cells)
    return table


def _sort_key(value: Any) -> float:
    return float("inf") if pd.isna(value) else float(value)


def figures(result: Fronts) -> dict[str, Figure]:
    """Return the figures by file name; those without data are left out."""
    drawn: dict[str, Figure | None] = {
        "fronts": fronts_figure(result.comparison),
        "progress": progress_figure(result.comparison),
        "attainment": attainment_figure(result.comparison),
    }
    if result.published is not None:
        drawn["published"] = baselines_figure(result.populations, result.published)
    return {name: figure for name, figure in drawn.items() if figure is not None}
