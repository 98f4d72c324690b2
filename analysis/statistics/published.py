"""Published networks to compare a search with; their accuracies are on ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd
from rich.table import Table

from analysis.errors import AnalysisError, numbers
from analysis.read.population import Population
from analysis.statistics.fronts import pareto_front
from analysis.units import format_count

MARGIN = 1.25
"""Factor by which published networks may exceed the multiply-adds of a population."""
LABEL = "ImageNet top-1 (%), published"
"""Name of the published accuracies."""


def read_baselines(families: Sequence[str] = ()) -> pd.DataFrame:
    """Return published networks, sorted by multiply-adds.

    Columns: name, family, madds and params (of the whole network, convolution and linear layers, at
    `resolution`), top1 and top5 accuracy on ImageNet in percent, and source. The multiply-adds of
    timm's networks exclude batch normalization; those of papers are as printed.

    Args:
        families: Families to include, such as ``MixNet``; all if empty.

    Raises:
        AnalysisError: If a family is unknown.
    """
    file = resources.files("analysis").joinpath("published", "baselines.csv")
    with file.open(encoding="utf-8") as text:
        table = pd.read_csv(text)
    available = sorted(table["family"].unique())
    for family in families:
        if family not in available:
            raise AnalysisError(f"no family '{family}'; the families are {', '.join(available)}")
    return table[table["family"].isin(families)] if families else table


def best_published(low: float, high: float, families: Sequence[str] = ()) -> pd.DataFrame:
    """Return the front of the published networks in a range of multiply-adds.

    Args:
        low: Lowest multiply-adds.
        high: Highest multiply-adds.
        families: Families to include; see `read_baselines`.

    Raises:
        AnalysisError: If a family is unknown.
    """
    table = read_baselines(families)
    table = table[table["madds"].between(low, high)]
    if table.empty:
        return table
    return pareto_front(table, {"top1": "max", "madds": "min"}).rows


def published_in_range(
    populations: Sequence[Population], against: str | None, families: Sequence[str]
) -> pd.DataFrame | None:
    """Return published networks with multiply-adds similar to those of populations.

    Args:
        populations: Populations to compare with.
        against: Set of published networks: ``baselines``, or None for none.
        families: Families to include; see `read_baselines`.

    Returns:
        The networks; None if none were requested.

    Raises:
        AnalysisError: If the set or a family is unknown, or multiply-adds are missing.
    """
    if families and against is None:
        raise AnalysisError("--family chooses among published networks; add --against baselines")
    if against is None:
        return None
    if against != "baselines":
        raise AnalysisError(f"unknown set of published networks '{against}'; choose baselines")
    for population in populations:
        if "madds" not in population.table:
            raise AnalysisError(
                f"{population.name} has no column 'madds', by which published networks are chosen"
            )
    madds = np.concatenate([numbers(p.table, ["madds"])[:, 0] for p in populations])
    madds = madds[np.isfinite(madds)]
    if not len(madds):
        raise AnalysisError("no network has multiply-adds, by which published networks are chosen")
    return best_published(float(madds.min()) / MARGIN, float(madds.max()) * MARGIN, families)


def published_table(rows: pd.DataFrame) -> Table:
    """Return published networks as a table to print."""
    table = Table(
        title="Published networks with similar multiply-adds (ImageNet accuracies)",
        title_justify="left",
    )
    for name in ("network", "family", LABEL, "MAdds", "params", "source"):
        table.add_column(
            name, justify="left" if name in ("network", "family", "source") else "right"
        )
    for _, row in rows.iterrows():
        cells = (f"{row['top1']:.1f}", format_count(row["madds"]), format_count(row["params"]))
        table.add_row(row["name"], row["family"], *cells, row["source"])
    return table
