"""Published networks, to see a search's networks among. Their accuracies are ImageNet's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd
from rich.table import Table

from analysis.errors import AnalysisError, numbers
from analysis.read.population import Population
from analysis.statistics.fronts import pareto_front

MARGIN = 1.25  # published networks are shown up to so much beyond a population's multiply-adds
LABEL = "ImageNet top-1 (%), published"


def read_baselines(families: Sequence[str] = ()) -> pd.DataFrame:
    """Return published networks, ordered by multiply-adds.

    Columns: name, family, madds and params (of the whole network, convolution and linear layers,
    at `resolution`), top1 and top5 on ImageNet in percent, source. timm's multiply-adds are without
    batch normalisation; papers' are as printed.

    Args:
        families: to take, as ``MixNet``; all if none.

    Raises:
        AnalysisError: when a family is not known.
    """
    file = resources.files("analysis").joinpath("published", "baselines.csv")
    with file.open(encoding="utf-8") as text:
        table = pd.read_csv(text)
    known = sorted(table["family"].unique())
    for family in families:
        if family not in known:
            raise AnalysisError(f"there is no family '{family}'; there are {', '.join(known)}")
    return table[table["family"].isin(families)] if families else table


def best_published(low: float, high: float, families: Sequence[str] = ()) -> pd.DataFrame:
    """Return the published networks that none of fewer multiply-adds beats, in a range of them.

    Args:
        low: least multiply-adds.
        high: most multiply-adds.
        families: see `read_baselines`.
    """
    table = read_baselines(families)
    table = table[table["madds"].between(low, high)]
    if table.empty:
        return table
    return pareto_front(table, {"top1": "max", "madds": "min"}).rows


def published_beside(
    populations: Sequence[Population], against: str | None, families: Sequence[str]
) -> pd.DataFrame | None:
    """Return published networks of like multiply-adds; None where none are asked for.

    Raises:
        AnalysisError: when there is no such set or family, or a population has no multiply-adds.
    """
    if families and against is None:
        raise AnalysisError("--family chooses among published networks; add --against baselines")
    if against is None:
        return None
    if against != "baselines":
        raise AnalysisError(f"'{against}' is nothing to be seen against; there is: baselines")
    for population in populations:
        if "madds" not in population.table:
            raise AnalysisError(
                f"{population.name} has no column 'madds', which published networks are told by"
            )
    madds = np.concatenate([numbers(p.table, ["madds"])[:, 0] for p in populations])
    madds = madds[np.isfinite(madds)]
    if not len(madds):
        raise AnalysisError("no network has multiply-adds, which published networks are told by")
    return best_published(float(madds.min()) / MARGIN, float(madds.max()) * MARGIN, families)


def published_table(rows: pd.DataFrame) -> Table:
    """Return published networks as a table to print."""
    table = Table(
        title="Published networks of like multiply-adds: ImageNet, not this data",
        title_justify="left",
    )
    for name in ("network", "family", LABEL, "MAdds (M)", "params (M)", "source"):
        table.add_column(
            name, justify="left" if name in ("network", "family", "source") else "right"
        )
    for _, row in rows.iterrows():
        cells = (f"{row['top1']:.1f}", f"{row['madds'] / 1e6:.0f}", f"{row['params'] / 1e6:.2f}")
        table.add_row(row["name"], row["family"], *cells, row["source"])
    return table
