"""``python -m analysis pareto`` and ``compare``: fronts of one search and of several."""

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
from analysis.statistics.comparison import Comparison, compare, comparison_data, mixed
from analysis.statistics.published import LABEL, published_beside, published_table

FRONT_COLUMNS = ("number", "name", "spec_hash", *COSTS)


@dataclass(frozen=True)
class Fronts:
    """What the commands show.

    Attributes:
        comparison: of the searches; there may be one.
        published: networks to see them among, or nothing.
    """

    comparison: Comparison
    published: pd.DataFrame | None

    @property
    def populations(self) -> list[Population]:
        """The searches' networks."""
        return [search.population for search in self.comparison.searches]


def fronts(
    populations: Sequence[Population],
    against: str | None,
    families: Sequence[str],
    reference: dict[str, float] | None = None,
) -> Fronts:
    """Compare populations, and find published networks of like multiply-adds.

    Raises:
        AnalysisError: when they cannot be compared, or have no multiply-adds.
    """
    found = compare(populations, reference)
    return Fronts(found, published_beside(populations, against, families))


def parse_reference(text: str | None) -> dict[str, float] | None:
    """Read ``accuracy=0.5,latency_ms=20``.

    Raises:
        AnalysisError: when something is no number.
    """
    if text is None:
        return None
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise AnalysisError(f"'{part}' is no part of a reference point; write latency_ms=20")
    return found


# -- what is shown ----------------------------------------------------------------------------


def as_json(found: Fronts) -> str:
    """Return fronts as JSON; that of one search without a list around it."""
    data = comparison_data(found.comparison)
    for search, row in zip(found.comparison.searches, data["searches"], strict=True):
        columns = [name for name in FRONT_COLUMNS if name in search.front.rows]
        columns += [name for name in found.comparison.objectives if name not in columns]
        row["front"] = search.front.rows[columns].to_dict("records")
        row["limits"] = search.population.limits
    if len(found.comparison.searches) == 1:
        del data["attainment"]
        data |= data.pop("searches")[0]
    if found.published is not None:
        data["published"] = {"label": LABEL, "networks": found.published.to_dict("records")}
    return json_text(data)


def show(found: Fronts, console: Console) -> None:
    """Print fronts as tables."""
    comparison = found.comparison
    if apart := mixed(found.populations):
        console.print(f"Compare with care: {apart}.")
    console.print(_searches(comparison))
    if len(comparison.searches) == 1:
        console.print(_front(comparison))
    if found.published is not None:
        console.print(published_table(found.published))


def _searches(comparison: Comparison) -> Table:
    point = ", ".join(f"{name} {value:.4g}" for name, value in comparison.reference.items())
    table = Table(title=f"Fronts (reference point: {point})", title_justify="left")
    table.add_column("search")
    several = len(comparison.searches) > 1
    names = ("networks", "left out", "front", "hypervolume", "knee")
    for name in (*names, *(("epsilon", "IGD+") if several else ())):
        table.add_column(name, justify="right")
    for search in comparison.searches:
        at = "-"
        if search.knee is not None:
            row = search.front.rows.iloc[search.knee]
            at = ", ".join(f"{row[name]:.4g}" for name in comparison.objectives)
        table.add_row(
            search.population.name,
            f"{search.front.n:,}",
            f"{search.population.seen - search.front.n:,}",
            str(len(search.front.rows)),
            f"{search.front.hypervolume:.4g}",
            at,
            *([f"{d:.3f}" for d in (search.distance.epsilon, search.distance.igd_plus)] * several),
        )
    return table


def _front(comparison: Comparison) -> Table:
    """Show one search's front, with its references, the cheapest first."""
    (search,) = comparison.searches
    population = search.population
    table = Table(title=f"The front of {population.name}", title_justify="left")
    if population.limits:
        limits = ", ".join(f"{metric} {text}" for metric, text in population.limits.items())
        table.caption = f"within the limits {limits}"
    shown = [name for name in COSTS if name in search.front.rows]
    shown = [*comparison.objectives, *(name for name in shown if name not in comparison.objectives)]
    for name in ("network", "", *shown):
        table.add_column(name, justify="left" if name in ("network", "") else "right")
    groups = {"front": search.front.rows, "reference": population.references}
    rows = [(row, group) for group, part in groups.items() for _, row in part.iterrows()]
    last = list(comparison.objectives)[-1]
    for row, group in sorted(rows, key=lambda pair: _cost(pair[0].get(last))):
        table.add_row(network_name(row), group, *(_cell(row.get(name)) for name in shown))
    return table


def _cost(value: Any) -> float:
    return float("inf") if pd.isna(value) else float(value)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g}M"
    return f"{value:.4g}"


def figures(found: Fronts) -> dict[str, Figure]:
    """Return the figures by file name."""
    drawn: dict[str, Figure | None] = {
        "fronts": fronts_figure(found.comparison),
        "progress": progress_figure(found.comparison),
        "attainment": attainment_figure(found.comparison),
    }
    if found.published is not None:
        drawn["published"] = baselines_figure(found.populations, found.published)
    return {name: figure for name, figure in drawn.items() if figure is not None}
