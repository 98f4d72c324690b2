"""Figures of one search: its front, its history, and latency against multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    FRONT,
    REFERENCE,
    TRIAL,
    legend,
    legible,
    limit_lines,
    name_vertical,
    single,
)
from analysis.read.limits import Bound
from analysis.statistics.fronts import Front
from analysis.units import score_unit

MANY = 1_000
"""Number of trials above which points are drawn smaller and as pixels."""
NAME_SIZE = (0.1, 0.04)
"""Width and height of a trial's name, as shares of the axes."""


def front_figure(
    trials: pd.DataFrame,
    references: pd.DataFrame,
    front: Front,
    label: str,
    is_share: bool,
    limits: Mapping[str, Bound],
) -> Figure:
    """Draw score against latency: trials, the front as a staircase, and named references.

    Args:
        trials: Completed trials, with the columns ``score`` and ``latency_ms``.
        references: Reference networks in the same columns, and their ``name``.
        front: Pareto front of the trials.
        label: Name of the scores, `Run.label`.
        is_share: Whether scores are accuracies, which are drawn in percent.
        limits: Limits of the search by column.
    """
    figure, axes = single()
    unit, factor = score_unit(label, is_share)
    _trials(axes, trials["latency_ms"], factor * trials["score"])
    rows = front.rows.sort_values("latency_ms")
    latency, score = rows["latency_ms"], factor * rows["score"]
    axes.step(latency, score, where="post", color=FRONT, linewidth=1.3)
    axes.scatter(latency, score, s=34, color=FRONT, zorder=3, label="front")
    places = np.column_stack([latency, score])[::-1]  # the highest scores are named first
    numbers = rows["number"].tolist()[::-1]
    spans = [np.ptp(axes.dataLim.intervalx), np.ptp(axes.dataLim.intervaly)]
    for i in legible(places, spans, NAME_SIZE):
        place = (places[i, 0], places[i, 1])
        _annotate(axes, f"trial {numbers[i]}", place, (-4, 6), FRONT, align="right")
    latency, score = references["latency_ms"], factor * references["score"]
    _references(axes, latency, score)
    if len(references):
        for name, place in zip(references["name"], zip(latency, score, strict=True), strict=True):
            _annotate(axes, str(name), place, (6, -10), REFERENCE)
    limit_lines(axes, limits.get("latency_ms"))
    axes.set_xlabel("median latency per image (ms)")
    name_vertical(axes, unit)
    axes.margins(x=0.12)
    legend(axes)
    return figure


def history_figure(trials: pd.DataFrame, label: str, is_share: bool) -> Figure:
    """Draw the score of each trial by number, and the best score so far.

    Args:
        trials: Completed trials, with the columns ``number`` and ``score``.
        label: Name of the scores, `Run.label`.
        is_share: Whether scores are accuracies, which are drawn in percent.
    """
    figure, axes = single(height=3.2)
    unit, factor = score_unit(label, is_share)
    ordered = trials.sort_values("number")
    _trials(axes, ordered["number"], factor * ordered["score"])
    best = factor * ordered["score"].cummax()
    axes.step(
        ordered["number"], best, where="post", color=FRONT, linewidth=1.3, label="best so far"
    )
    axes.set_xlabel("trial")
    name_vertical(axes, unit)
    legend(axes)
    return figure


def cost_figure(
    trials: pd.DataFrame, references: pd.DataFrame, limits: Mapping[str, Bound]
) -> Figure:
    """Draw latency against MAdds, which shows how well MAdds stand in for latency.

    Args:
        trials: Completed trials, with the columns ``madds`` and ``latency_ms``.
        references: Reference networks in the same columns.
        limits: Limits of the search by column.
    """
    figure, axes = single(height=3.6)
    _trials(axes, trials["madds"] / 1e6, trials["latency_ms"])
    _references(axes, references["madds"] / 1e6, references["latency_ms"])
    limit_lines(axes, limits.get("madds"), 1e-6)
    limit_lines(axes, limits.get("latency_ms"), way="y")
    axes.set_xlabel("MAdds (M)")
    axes.set_ylabel("latency (ms)")
    legend(axes)
    return figure


def _trials(axes: Axes, xs: pd.Series, ys: pd.Series) -> None:
    """Draw trials; many of them become pixels even in an SVG, which would slow down the page."""
    many = len(xs) > MANY
    axes.scatter(
        xs, ys, s=8 if many else 22, color=TRIAL, label="trial", alpha=0.4 if many else 0.8,
        lw=0, rasterized=many,
    )  # fmt: skip


def _references(axes: Axes, xs: pd.Series, ys: pd.Series) -> None:
    if len(xs):
        axes.scatter(xs, ys, s=46, marker="D", color=REFERENCE, zorder=4, label="reference")


def _annotate(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[int, int],
    color: str,
    align: str = "left",
) -> None:
    """Write the name of a point beside it; the offset is in points."""
    axes.annotate(
        text, place, xytext=offset, textcoords="offset points", fontsize=8, color=color, ha=align
    )
