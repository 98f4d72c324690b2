"""The picture of a ranking card."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, REFERENCE, TRIAL, style
from analysis.report.ranking import NAMES
from analysis.statistics.ranking import Interval, RankingCard


def ranking_figure(table: pd.DataFrame, card: RankingCard, estimator: str) -> Figure:
    """Draw true accuracy over score, and tau beside what it must beat.

    Args:
        table: with the columns ``score``, ``accuracy`` and ``madds``.
        card: of the same networks.
        estimator: its name.
    """
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    for axes in (left, right):
        style(axes)
    shown = left.scatter(
        table["score"], 100 * table["accuracy"], c=table["madds"] / 1e6, s=24, cmap="viridis"
    )
    left.set_xlabel(f"score of {estimator}")
    left.set_ylabel("accuracy when fully trained (%)")
    figure.colorbar(shown, ax=left, label="MAdds (M)", pad=0.02)
    _taus(right, card)
    return figure


def _taus(axes: Axes, card: RankingCard) -> None:
    rows: list[tuple[str, Interval, Interval | None]] = [
        (NAMES.get(ranking.name, ranking.name), ranking.tau, ranking.band)
        for ranking in card.rankings
    ]
    if card.seeds is not None:
        rows.append(("another full training", card.seeds, None))
    height = np.arange(len(rows))[::-1]
    for at, (name, tau, band) in zip(height, rows, strict=True):
        color = FRONT if name == NAMES["score"] else REFERENCE
        _bar(axes, at + 0.13, tau, color, "o")
        if band is not None:
            _bar(axes, at - 0.13, band, TRIAL, "s")
    axes.plot([], [], "o", color=REFERENCE, label="all pairs")
    axes.plot([], [], "s", color=TRIAL, label="pairs at like MAdds")
    axes.set_yticks(height, [name for name, _, _ in rows])
    axes.axvline(0, color="#8a949e", linewidth=0.8)
    axes.set_xlim(min(-0.1, axes.get_xlim()[0]), 1)
    axes.set_xlabel(f"Kendall's tau, {card.n} networks, 95% intervals")
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)


def _bar(axes: Axes, at: float, interval: Interval, color: str, marker: str) -> None:
    axes.plot([interval.low, interval.high], [at, at], color=color, linewidth=1.6)
    axes.plot([interval.value], [at], marker, color=color, markersize=5.5)
