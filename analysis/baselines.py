"""Published networks, to see a search's networks among. Their accuracies are ImageNet's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import pandas as pd

from analysis.errors import AnalysisError
from analysis.fronts import pareto_front

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
