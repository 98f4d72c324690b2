"""Figure of a ranking card."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, REFERENCE, TRIAL, style
from analysis.statistics.ranking import ONE_RUN, SCORE_NAMES, Interval, RankingCard


def ranking_figure(table: pd.DataFrame, card: RankingCard, estimator: str) -> Figure:
    """Draw true accuracy against score, and the score's Kendall tau beside its baselines.

    Args:
        table: One row per network, with the columns ``score``, ``accuracy`` (a share) and
            ``madds``.
        card: Ranking card of the same networks.
        estimator: Name of the estimator.
    """
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    for axes in (left, right):
        style(axes)
    points = left.scatter(
        table["score"], 100 * table["accuracy"], c=table["madds"] / 1e6, s=24, cmap="viridis"
    )
    left.set_xlabel(f"score of {estimator}")
    left.set_ylabel("accuracy after full training (%)")
    figure.colorbar(points, ax=left, label="MAdds (M)", pad=0.02)
    _taus(right, card)
    return figure


def _taus(axes: Axes, card: RankingCard) -> None:
    """Draw Kendall's tau of every score with its interval, over all pairs and similar pairs."""
    rows: list[tuple[str, Interval, Interval | None]] = [
        (SCORE_NAMES.get(ranking.name, ranking.name), ranking.tau, ranking.band)
        for ranking in card.rankings
    ]
    if card.seeds is not None:
        rows.append((ONE_RUN, card.seeds, None))
    heights = np.arange(len(rows))[::-1]
    for height, (name, tau, band) in zip(heights, rows, strict=True):
        color = FRONT if name == SCORE_NAMES["score"] else REFERENCE
        _interval(axes, height + 0.13, tau, color, "o")
        if band is not None:
            _interval(axes, height - 0.13, band, TRIAL, "s")
    axes.plot([], [], "o", color=REFERENCE, label="all pairs")
    axes.plot([], [], "s", color=TRIAL, label="pairs with similar MAdds")
    axes.set_yticks(heights, [name for name, _, _ in rows])
    axes.axvline(0, color="#8a949e", linewidth=0.8)
    axes.set_xlim(min(-0.1, axes.get_xlim()[0]), 1.04)
    axes.set_xlabel(f"Kendall's tau ({card.n} networks, 95% intervals)")
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)


def _interval(axes: Axes, height: float, interval: Interval, color: str, marker: str) -> None:
    axes.plot([interval.low, interval.high], [height, height], color=color, linewidth=1.6)
    axes.plot([interval.value], [height], marker, color=color, markersize=5.5)
