"""Drawing fronts: of several searches, over time, and what most of them attain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import (
    FRONT,
    REFERENCE,
    TRIAL,
    colours,
    legend,
    limit_lines,
    single,
    style,
)
from analysis.read.limits import bounds
from analysis.read.population import Population
from analysis.statistics.comparison import Comparison, mixed
from analysis.statistics.fronts import Direction
from analysis.statistics.published import LABEL
from analysis.units import objective_unit

NAME_WIDTH, NAME_HEIGHT = 0.3, 0.035  # of a published network's name, as shares of the axes


def _pair(objectives: dict[str, Direction]) -> tuple[str, str] | None:
    """Return what goes across and what goes up: a cost, and what is bought with it."""
    names = list(objectives)
    return (names[1], names[0]) if len(names) == 2 else None


def fronts_figure(found: Comparison) -> Figure | None:
    """Draw the fronts of searches as staircases, with all their networks."""
    pair = _pair(found.objectives)
    if pair is None:
        return None
    across, up = pair
    figure, axes = single(4.2)
    everything = pd.concat([search.population.table for search in found.searches])
    (x_label, x_factor), (y_label, y_factor) = (objective_unit(n, everything[n]) for n in pair)
    alone = len(found.searches) == 1
    names = [search.population.name for search in found.searches]
    for search, colour in zip(found.searches, colours(names).values(), strict=True):
        table, front = search.population.table, search.front.rows
        axes.scatter(
            x_factor * table[across],
            y_factor * table[up],
            s=14,
            lw=0,
            alpha=0.5,
            color=TRIAL if alone else colour,
        )
        xs, ys = _corners(front, across, up, found.objectives)
        line = FRONT if alone else colour
        label = f"{search.population.name}: hypervolume {search.front.hypervolume:.4g}"
        axes.plot(x_factor * xs, y_factor * ys, color=line, lw=1.4, label=label)
        axes.scatter(x_factor * front[across], y_factor * front[up], s=20, color=line, zorder=3)
        if search.knee is not None:
            row = front.iloc[search.knee]
            at = (x_factor * row[across], y_factor * row[up])
            axes.scatter(*at, s=90, facecolors="none", edgecolors=line, zorder=4, lw=1.3)
    for bound in {bounds(search.population.limits).get(across) for search in found.searches}:
        limit_lines(axes, bound, x_factor)
    axes.set_title(mixed([search.population for search in found.searches]), fontsize=9, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    legend(axes)
    return figure


def _corners(
    rows: pd.DataFrame, across: str, up: str, objectives: dict[str, Direction]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a front as a staircase of what it dominates."""
    ordered = rows.sort_values(across, ascending=objectives[across] == "min")
    xs = np.repeat(ordered[across].to_numpy(dtype=float), 2)[1:]
    ys = np.repeat(ordered[up].to_numpy(dtype=float), 2)[:-1]
    return xs, ys


def _attained(
    rows: pd.DataFrame, across: str, up: str, objectives: dict[str, Direction], at: np.ndarray
) -> np.ndarray:
    """Return the best of one objective that a surface has at values of the other, else NaN."""
    signs = [-1.0 if objectives[name] == "max" else 1.0 for name in (across, up)]
    xs, ys = (
        sign * rows[name].to_numpy(dtype=float)
        for sign, name in zip(signs, (across, up), strict=True)
    )
    found = [ys[xs <= signs[0] * x].min(initial=np.inf) for x in at]
    return np.where(np.isfinite(found), signs[1] * np.array(found), np.nan)


def progress_figure(found: Comparison) -> Figure:
    """Draw hypervolume over evaluations, and over seconds where all searches know them."""
    timed = all("seconds" in search.progress.table for search in found.searches)
    figure = Figure(figsize=(9.2 if timed else 7.2, 3.4), layout="constrained")
    panels = figure.subplots(1, 2 if timed else 1, sharey=True, squeeze=False)[0]
    names = [search.population.name for search in found.searches]
    for axes, column in zip(panels, ("evaluations", "seconds"), strict=False):
        style(axes)
        for search, colour in zip(found.searches, colours(names).values(), strict=True):
            table = search.progress.table
            axes.step(
                table[column],
                table["hypervolume"],
                where="post",
                color=colour,
                label=search.population.name,
            )
        axes.set_xlabel("networks judged" if column == "evaluations" else "seconds of judging")
    panels[0].set_ylabel("hypervolume")
    legend(panels[0])
    return figure


def attainment_figure(found: Comparison) -> Figure | None:
    """Draw what half of the searches attain, between the surfaces of a quarter and of three."""
    pair = _pair(found.objectives)
    if found.attained is None or pair is None:
        return None
    across, up = pair
    figure, axes = single(4.2)
    everything = pd.concat([search.population.table for search in found.searches])
    (x_label, x_factor), (y_label, y_factor) = (objective_unit(n, everything[n]) for n in pair)
    least, half, most = (found.attained.surfaces[share] for share in (25, 50, 75))
    at = np.sort(np.concatenate([rows[across].to_numpy(dtype=float) for rows in (least, most)]))
    ends = [_attained(rows, across, up, found.objectives, at) for rows in (least, most)]
    both = np.isfinite(ends[0]) & np.isfinite(ends[1])
    low, high = (y_factor * end for end in ends)
    axes.fill_between(
        x_factor * at, low, high, where=both, step="post", color=FRONT, alpha=0.2, lw=0,
        label="from a quarter to three quarters",
    )  # fmt: skip
    xs, ys = _corners(half, across, up, found.objectives)
    axes.plot(x_factor * xs, y_factor * ys, color=FRONT, label="attained by half")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(f"{len(found.searches)} searches", fontsize=10, loc="left")
    legend(axes)
    return figure


def baselines_figure(populations: Sequence[Population], published: pd.DataFrame) -> Figure:
    """Draw a search's networks beside published ones, each with accuracies of their own data."""
    figure = Figure(figsize=(9.8, 3.8), layout="constrained")
    own, others = figure.subplots(1, 2, sharex=True)
    for axes in (own, others):
        style(axes)
        axes.set_xlabel("MAdds (M)")
    first = next(iter(populations[0].objectives))
    label, factor = objective_unit(first, populations[0].table[first])
    names = [population.name for population in populations]
    for population, colour in zip(populations, colours(names).values(), strict=True):
        table = population.table
        axes = own
        axes.scatter(
            table["madds"] / 1e6, factor * table[first], s=9, lw=0, color=colour, alpha=0.6,
            label=population.name,
        )  # fmt: skip
    own.set_ylabel(f"{label}, on this data")
    own.set_title("these networks", fontsize=10, loc="left")
    legend(own)
    others.scatter(published["madds"] / 1e6, published["top1"], s=18, color=REFERENCE)
    for _, row in _apart(published).iterrows():
        others.annotate(
            row["name"], (row["madds"] / 1e6, row["top1"]), fontsize=6, xytext=(3, -7),
            textcoords="offset points",
        )  # fmt: skip
    others.set_ylabel(LABEL)
    others.set_title("published networks, on ImageNet", fontsize=10, loc="left")
    return figure


def _apart(published: pd.DataFrame) -> pd.DataFrame:
    """Return networks whose names do not fall on each other, the most accurate ones first."""
    ordered = published.sort_values("top1", ascending=False)
    places = ordered[["madds", "top1"]].to_numpy(dtype=float)
    places = places / np.maximum(np.ptp(places, axis=0, keepdims=True), 1e-9)
    kept: list[int] = []
    for number, place in enumerate(places):
        away = np.abs(places[kept] - place)
        if not ((away[:, 0] < NAME_WIDTH) & (away[:, 1] < NAME_HEIGHT)).any():
            kept.append(number)
    return ordered.iloc[kept]
