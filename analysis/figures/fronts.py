"""Figures of several searches: fronts, hypervolume over time, attainment, published networks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    FRONT,
    REFERENCE,
    TRIAL,
    colours,
    entry,
    legend,
    legible,
    limit_lines,
    name_vertical,
    single,
    style,
)
from analysis.read.limits import bounds
from analysis.read.population import Population
from analysis.schema import Direction
from analysis.statistics.comparison import ComparedSearch, Comparison, condition_mismatch
from analysis.statistics.published import LABEL
from analysis.units import objective_unit

TITLE_WIDTH = 100
"""Number of characters of a line of a title at most."""
NAME_SIZE = (0.3, 0.035)
"""Width and height of a published network's name, as shares of the axes."""


def _plane(objectives: Mapping[str, Direction]) -> tuple[str, str] | None:
    """Return the horizontal and the vertical objective; None unless there are two."""
    names = list(objectives)
    return (names[1], names[0]) if len(names) == 2 else None


def _scales(axes: Axes, comparison: Comparison, plane: tuple[str, str]) -> tuple[float, float]:
    """Label both axes; return the factors from columns to the units shown."""
    shares = comparison.searches[0].population.shares  # all searches have the same objectives
    x_label, x_factor = objective_unit(plane[0], plane[0] in shares)
    y_label, y_factor = objective_unit(plane[1], plane[1] in shares)
    axes.set_xlabel(x_label)
    name_vertical(axes, y_label)
    return x_factor, y_factor


def fronts_figure(comparison: Comparison) -> Figure | None:
    """Draw all networks of each search and its front as a staircase, the knee circled.

    Returns:
        The figure; None unless there are two objectives.
    """
    plane = _plane(comparison.objectives)
    if plane is None:
        return None
    searches = comparison.searches
    figure, axes = single(4.2)
    factors = _scales(axes, comparison, plane)
    names = [search.population.name for search in searches]
    for search, colour in zip(searches, colours(names).values(), strict=True):
        point, line = (TRIAL, FRONT) if len(searches) == 1 else (colour, colour)
        _front(axes, search, comparison.objectives, factors, point, line)
    for bound in {bounds(search.population.limits).get(plane[0]) for search in searches}:
        limit_lines(axes, bound, factors[0])
    mismatch = condition_mismatch([search.population for search in searches])
    axes.set_title(textwrap.fill(mismatch, TITLE_WIDTH), fontsize=9, loc="left")
    legend(axes)
    return figure


def _front(
    axes: Axes,
    search: ComparedSearch,
    objectives: Mapping[str, Direction],
    factors: tuple[float, float],
    point: str,
    line: str,
) -> None:
    """Draw one search: its networks in the color `point`, its front in the color `line`."""
    across, up = list(objectives)[::-1]
    x_factor, y_factor = factors
    table, front = search.population.table, search.front.rows
    axes.scatter(x_factor * table[across], y_factor * table[up], s=14, lw=0, alpha=0.5, color=point)
    xs, ys = _staircase(front, across, up, objectives)
    label = f"{entry(search.population.name)}: hypervolume {search.front.hypervolume:.4g}"
    axes.plot(x_factor * xs, y_factor * ys, color=line, lw=1.4, label=label)
    axes.scatter(x_factor * front[across], y_factor * front[up], s=20, color=line, zorder=3)
    if search.knee is not None:
        knee = front.iloc[search.knee]
        place = (x_factor * knee[across], y_factor * knee[up])
        axes.scatter(*place, s=90, facecolors="none", edgecolors=line, zorder=4, lw=1.3)


def _staircase(
    rows: pd.DataFrame, across: str, up: str, objectives: Mapping[str, Direction]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the region that a front dominates."""
    ordered = rows.sort_values(across, ascending=objectives[across] == "min")
    xs = np.repeat(ordered[across].to_numpy(dtype=float), 2)[1:]
    ys = np.repeat(ordered[up].to_numpy(dtype=float), 2)[:-1]
    return xs, ys


def _attained(
    rows: pd.DataFrame, across: str, up: str, objectives: Mapping[str, Direction], at: np.ndarray
) -> np.ndarray:
    """Return the best vertical value of a surface at horizontal values; NaN where it has none."""
    x_sign, y_sign = (-1.0 if objectives[name] == "max" else 1.0 for name in (across, up))
    xs = x_sign * rows[across].to_numpy(dtype=float)
    ys = y_sign * rows[up].to_numpy(dtype=float)
    best = np.array([ys[xs <= x_sign * x].min(initial=np.inf) for x in at])
    return np.where(np.isfinite(best), y_sign * best, np.nan)


def progress_figure(comparison: Comparison) -> Figure:
    """Draw hypervolume against evaluations, and against seconds if all searches record them."""
    searches = comparison.searches
    timed = all("seconds" in search.progress.table for search in searches)
    figure = Figure(figsize=(9.2 if timed else 7.2, 3.4), layout="constrained")
    panels = figure.subplots(1, 2 if timed else 1, sharey=True, squeeze=False)[0]
    columns = {"evaluations": "networks evaluated", "seconds": "evaluation time (s)"}
    names = [search.population.name for search in searches]
    for axes, (column, label) in zip(panels, columns.items(), strict=False):
        style(axes)
        for search, (name, colour) in zip(searches, colours(names).items(), strict=True):
            table = search.progress.table
            axes.step(
                table[column], table["hypervolume"], where="post", color=colour, label=entry(name)
            )
        axes.set_xlabel(label)
    panels[0].set_ylabel("hypervolume")
    legend(panels[0])
    return figure


def attainment_figure(comparison: Comparison) -> Figure | None:
    """Draw the median attainment surface and the band between the quartile surfaces.

    Returns:
        The figure; None unless there are two objectives and enough searches.
    """
    plane = _plane(comparison.objectives)
    if comparison.attained is None or plane is None:
        return None
    across, up = plane
    figure, axes = single(4.2)
    x_factor, y_factor = _scales(axes, comparison, plane)
    quarter, median, three_quarters = (comparison.attained.surfaces[s] for s in (25, 50, 75))
    quartiles = (quarter, three_quarters)
    at = np.sort(np.concatenate([rows[across].to_numpy(dtype=float) for rows in quartiles]))
    high, low = (
        y_factor * _attained(rows, across, up, comparison.objectives, at) for rows in quartiles
    )
    axes.fill_between(
        x_factor * at, low, high, where=np.isfinite(low) & np.isfinite(high), step="post",
        color=FRONT, alpha=0.2, lw=0, label="attained by 25% to 75% of the searches",
    )  # fmt: skip
    xs, ys = _staircase(median, across, up, comparison.objectives)
    axes.plot(x_factor * xs, y_factor * ys, color=FRONT, label="attained by 50% of the searches")
    axes.set_title(f"{len(comparison.searches)} searches", fontsize=10, loc="left")
    legend(axes)
    return figure


def baselines_figure(populations: Sequence[Population], published: pd.DataFrame) -> Figure:
    """Draw networks and published networks side by side, each with the accuracies of its data.

    Args:
        populations: Populations of networks, with the column ``madds``.
        published: Published networks; see `analysis.statistics.published.read_baselines`.
    """
    figure = Figure(figsize=(9.8, 3.8), layout="constrained")
    own, others = figure.subplots(1, 2, sharex=True)
    for axes in (own, others):
        style(axes)
        axes.set_xlabel("MAdds (M)")
    first = next(iter(populations[0].objectives))
    label, factor = objective_unit(first, first in populations[0].shares)
    names = [population.name for population in populations]
    for population, (name, colour) in zip(populations, colours(names).items(), strict=True):
        table = population.table
        own.scatter(
            table["madds"] / 1e6, factor * table[first], s=9, lw=0, color=colour, alpha=0.6,
            label=entry(name),
        )  # fmt: skip
    name_vertical(own, label)
    own.set_title("these networks, on their own data", fontsize=10, loc="left")
    legend(own)
    others.scatter(published["madds"] / 1e6, published["top1"], s=18, color=REFERENCE)
    ordered = published.sort_values("top1", ascending=False)  # the most accurate are named first
    places = ordered[["madds", "top1"]].to_numpy(dtype=float)
    for number in legible(places, np.ptp(places, axis=0).tolist(), NAME_SIZE):
        row = ordered.iloc[number]
        others.annotate(
            row["name"], (row["madds"] / 1e6, row["top1"]), fontsize=6, xytext=(3, -7),
            textcoords="offset points",
        )  # fmt: skip
    others.set_ylabel(LABEL)
    others.set_title("published networks, on ImageNet", fontsize=10, loc="left")
    return figure
