"""Distributions along a chain of spaces, each next to the one before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, REFERENCE, entry, legend, style, without_rest
from analysis.statistics.bootstrap import edf_interval
from analysis.statistics.distributions import EDF
from analysis.units import error_unit

ACROSS = 3
"""Number of panels per row."""
MOST_STEPS = 1_000
"""Number of steps of a distribution that are drawn at most."""


def chain_figure(distributions: Mapping[str, EDF], label: str) -> Figure | None:
    """Draw the EDF of every space beside that of the one before (Radosavovic et al. 2020, fig. 5).

    The bands are bootstrap intervals of the share of networks at each error.

    Args:
        distributions: Distributions of equally weighted networks by name, in the order of the
            chain.
        label: Label of the errors, `Population.label`.

    Returns:
        The figure; None for fewer than two populations.

    Raises:
        AnalysisError: See `edf_interval`.
    """
    names = list(distributions)
    pairs = list(itertools.pairwise(names))
    if not pairs:
        return None
    rows = math.ceil(len(pairs) / ACROSS)
    figure = Figure(figsize=(9.6, 2.9 * rows + 0.2), layout="constrained")
    across = min(ACROSS, len(pairs))
    grid = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()
    unit, factor = error_unit(label)
    for axes, pair in zip(panels, pairs, strict=False):
        style(axes)
        for name, colour in zip(pair, (REFERENCE, FRONT), strict=True):
            curve = distributions[name]
            shown = np.unique(np.linspace(0, len(curve.errors) - 1, MOST_STEPS).round().astype(int))
            errors = factor * np.append(curve.errors[0], curve.errors[shown])
            low, high, shares = (
                np.insert(ends[shown], 0, 0.0) for ends in (*edf_interval(curve), curve.shares)
            )
            axes.fill_between(errors, low, high, step="post", color=colour, alpha=0.15, lw=0)
            text = f"{entry(name)}: n = {curve.n:,}, mean {factor * curve.mean:.3g}"
            axes.step(errors, shares, where="post", color=colour, lw=1.5, label=text)
        axes.set_ylim(0, 1.3)  # room for the legend above the curves
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel(unit)
        legend(axes, "upper right")
    for axes in panels[::across]:
        axes.set_ylabel("share of networks")
    without_rest(grid, len(pairs))
    return figure
