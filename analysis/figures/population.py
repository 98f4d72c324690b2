"""Figures of populations: distributions, best values, random search, importance, trends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from analysis.errors import floats, is_numeric
from analysis.figures.chain import chain_figure
from analysis.figures.fronts import baselines_figure
from analysis.figures.kernels import kernel_figure, staircase_figure
from analysis.figures.mixconv_paper import PopulationOverlay, published_figures
from analysis.figures.style import (
    FRONT,
    GRID,
    REFERENCE,
    TRIAL,
    colours,
    entry,
    legend,
    name_vertical,
    single,
    style,
    without_rest,
)
from analysis.read.architectures import architectures
from analysis.read.population import network_name
from analysis.schema import ARCHITECTURE, ERRORS
from analysis.statistics.best_values import BestValue
from analysis.statistics.distributions import EDF
from analysis.statistics.population_card import LATENCY, PopulationCard, design_columns
from analysis.units import column_unit, error_unit, quality_unit

ACROSS = 3
"""Number of small panels per row."""
MOST_POINTS = 4_000
"""Number of networks of a population that are drawn at most."""
MOST_STEPS = 2_000
"""Number of steps of a distribution that are drawn at most."""
MOST_VARIABLES = 15
"""Number of design variables that are drawn at most."""
INTERVALS = 5
"""Number of intervals that an axis of importance is divided into at most."""
MOST_VALUES = 8
"""Number of values of a categorical variable that are drawn at most."""
LEAST_R2 = 0.1
"""R² of a forest below which permutation importance is not meaningful."""
FEW = 200
"""Number of networks up to which points are drawn large."""
SHOWN_NETWORKS = 4
"""Number of best and of worst networks that are drawn."""


def population_figures(
    cards: Sequence[PopulationCard],
    published: pd.DataFrame | None = None,
    paper: bool = True,
) -> dict[str, Figure]:
    """Return all figures of populations, by file name; figures without data are left out.

    Args:
        cards: Statistics of each population.
        published: Published networks to compare with, if any.
        paper: Whether to draw the figures of the MixConv paper, too.
    """
    label = cards[0].population.label
    curves = {card.population.name: card.edf for card in cards}
    figures: dict[str, Figure | None] = {
        "edf": edf_figure(curves, label),
        "edf_chain": chain_figure(curves, label),
        "random_search": efficiency_figure(cards),
        "trends": trend_figure(cards),
    }
    even = {card.population.name: card.normalised for card in cards if card.normalised is not None}
    if even:
        figures["edf_normalised"] = edf_figure(even, label, "normalized by complexity")
    for number, card in enumerate(cards):
        suffix = f"_{number}" if len(cards) > 1 else ""
        own = {
            "variables": variables_figure(card),
            "importance": importance_figure(card),
            "latency": latency_figure(card),
            **_architecture_figures(card, paper),
        }
        figures |= {f"{name}{suffix}": figure for name, figure in own.items()}
    if published is not None:
        figures["published"] = baselines_figure([card.population for card in cards], published)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _architecture_figures(card: PopulationCard, paper: bool) -> dict[str, Figure]:
    """Return figures of kernels, of the best and worst networks, and those of the paper."""
    if card.kernels is None:
        return {}
    table = card.population.table.sort_values(ERRORS, kind="stable")
    table = table[np.isfinite(table[ERRORS]) & table[ARCHITECTURE].notna()]
    figures = {
        "kernels": kernel_figure(card.kernels),
        "best_networks": _staircases(table.head(SHOWN_NETWORKS), card.population.label),
        "worst_networks": _staircases(table.tail(SHOWN_NETWORKS), card.population.label),
    }
    if paper:
        quality, offset, sign = quality_unit(card.population.label)
        has_madds = "madds" in table and is_numeric(table["madds"])
        overlay = PopulationOverlay(
            name=card.population.name,
            networks=architectures(table),
            quality=offset + sign * floats(table[ERRORS]),
            label=quality,
            madds=floats(table["madds"]) if has_madds else None,
        )
        figures |= published_figures(overlay)
    return figures


def _staircases(table: pd.DataFrame, label: str) -> Figure:
    """Draw the networks of a table as staircases, titled with their name and error."""
    unit, factor = error_unit(label)
    titles = [
        f"{network_name(row)}: {unit} {factor * row[ERRORS]:.4g}" for _, row in table.iterrows()
    ]
    return staircase_figure(list(zip(titles, architectures(table), strict=True)))


def edf_figure(distributions: Mapping[str, EDF], label: str, title: str = "") -> Figure:
    """Draw distributions of errors as steps, with their confidence bands.

    Args:
        distributions: Distributions by name of the population.
        label: Label of the errors, `Population.label`.
        title: Title of the figure.
    """
    figure, axes = single(4.2)
    unit, factor = error_unit(label)
    for name, colour in colours(list(distributions)).items():
        curve = distributions[name]
        shown = np.unique(np.linspace(0, len(curve.errors) - 1, MOST_STEPS).round().astype(int))
        errors = factor * np.append(curve.errors[0], curve.errors[shown])
        low, high, shares = (
            np.insert(ends[shown], 0, 0.0) for ends in (curve.low, curve.high, curve.shares)
        )
        axes.fill_between(errors, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
        numbers = f"n = {curve.n:,}, best {factor * curve.best:.4g}, mean {factor * curve.mean:.4g}"
        shown_name = f"{entry(name)}: {numbers}"
        axes.step(errors, shares, where="post", color=colour, linewidth=1.5, label=shown_name)
    axes.set_xlabel(unit)
    bound = "at or below this error" if factor > 0 else "at or above this score"
    axes.set_ylabel(f"share of networks {bound}")
    axes.set_ylim(0, 1.02)
    axes.set_title(title, fontsize=10, loc="left")
    legend(axes, "lower right" if factor > 0 else "lower left")
    return figure


def efficiency_figure(cards: Sequence[PopulationCard]) -> Figure:
    """Draw the error of the best of m random networks, with its interval (2019 paper, 5.3)."""
    figure, axes = single(3.6)
    unit, factor = error_unit(cards[0].population.label)
    names = [card.population.name for card in cards]
    for card, (name, colour) in zip(cards, colours(names).items(), strict=True):
        curve = card.efficiency
        axes.fill_between(
            curve.sizes, factor * curve.low, factor * curve.high, color=colour, alpha=0.12, lw=0
        )
        axes.plot(curve.sizes, factor * curve.mean, "o-", ms=3.5, color=colour, label=entry(name))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("number m of networks sampled at random")
    name_vertical(axes, f"{unit} of the best network")
    legend(axes, "upper right" if factor > 0 else "lower right")
    return figure


def variables_figure(card: PopulationCard) -> Figure | None:
    """Draw errors against every design variable, with the interval of its best value.

    The most important variables come first if importance is known.
    """
    names = [name for name in design_columns(card.population) if name not in card.left_out]
    if not names:
        return None
    names = _by_importance(names, card)[:MOST_VARIABLES]
    rows = math.ceil(len(names) / ACROSS)
    figure = Figure(figsize=(9.6, 2.3 * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, ACROSS, sharey=True, squeeze=False)
    grid = panels.ravel()
    table = _thinned(card.population.table)
    unit, factor = error_unit(card.population.label)
    for axes, name in zip(grid, names, strict=False):
        style(axes)
        if name in card.best:
            _numeric(axes, table, name, factor, card.best[name])
        else:
            _categorical(axes, table, name, factor, card.choices[name])
    without_rest(panels, len(names))
    for axes in grid[: len(names) : ACROSS]:
        name_vertical(axes, unit)
    return figure


def _numeric(axes: Axes, table: pd.DataFrame, name: str, factor: float, best: BestValue) -> None:
    label, scale = column_unit(name)
    _points(axes, _jittered(table[name]) / scale, factor * table[ERRORS])
    axes.axvspan(best.low / scale, best.high / scale, color=FRONT, alpha=0.12, lw=0)
    axes.axvline(best.median / scale, color=FRONT, linewidth=1.4, zorder=3)
    low, median, high = (value / scale for value in (best.low, best.median, best.high))
    axes.set_xlabel(f"{label}: best {median:.4g} ({low:.4g} to {high:.4g})", fontsize=8)
    whole = bool((table[name].dropna() / scale % 1 == 0).all())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))


def _categorical(
    axes: Axes, table: pd.DataFrame, name: str, factor: float, shares: Mapping[str, float]
) -> None:
    """Draw the values of a variable side by side, those that win most resamples first."""
    text = table[name].fillna("-").astype(str)
    shown = [*shares, *sorted(set(text) - set(shares))][:MOST_VALUES]
    for place, value in enumerate(shown):
        errors = factor * table.loc[text == value, ERRORS]
        spread = np.random.default_rng(place).uniform(-0.25, 0.25, len(errors))
        _points(axes, place + spread, errors)
        if shares.get(value, 0) > 0:
            axes.axvspan(place - 0.4, place + 0.4, color=FRONT, alpha=0.3 * shares[value], lw=0)
    ticks = [f"{value}\n{100 * shares.get(value, 0):.0f}%" for value in shown]
    axes.set_xticks(range(len(shown)), ticks, fontsize=6 if len(shown) > 5 else 7)
    axes.set_xlabel(f"{column_unit(name)[0]} (share of resamples won)", fontsize=8)


def _points(axes: Axes, xs: ArrayLike, ys: ArrayLike) -> None:
    """Draw networks in front of the band, larger if there are few.

    Many networks become pixels even in an SVG, since thousands of points slow down a page.
    """
    few = np.size(xs) <= FEW
    size, alpha = (16, 0.95) if few else (7, 0.5)
    axes.scatter(xs, ys, s=size, color=TRIAL, alpha=alpha, lw=0, rasterized=not few, zorder=2.5)


def _jittered(values: pd.Series) -> pd.Series:
    """Add jitter to a variable with few distinct values, so that points do not hide each other."""
    distinct = np.sort(values.dropna().unique())
    if len(distinct) > 20 or len(distinct) < 2:
        return values
    width = 0.18 * float(np.diff(distinct).min())
    return values + np.random.default_rng(0).uniform(-width, width, len(values))


def _by_importance(names: Sequence[str], card: PopulationCard) -> list[str]:
    importance = card.importance
    if importance is None:
        return list(names)
    return sorted(names, key=lambda name: -importance.ped_anova.get(name, 1.0))


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Return at most `MOST_POINTS` rows, drawn at random."""
    return table if len(table) <= MOST_POINTS else table.sample(MOST_POINTS, random_state=0)


def importance_figure(card: PopulationCard) -> Figure | None:
    """Draw the importance of design variables by PED-ANOVA and by permutation."""
    importance = card.importance
    if importance is None:
        return None
    ped_anova = importance.ped_anova
    names = sorted(ped_anova, key=lambda name: ped_anova[name])[-MOST_VARIABLES:]
    figure = Figure(figsize=(9.2, 0.27 * len(names) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(names))
    left.barh(heights, [ped_anova[name] for name in names], color=REFERENCE)
    means, deviations = zip(*(importance.permutation[name] for name in names), strict=True)
    right.barh(heights, means, xerr=deviations, color=TRIAL, error_kw={"linewidth": 1})
    left.set_yticks(heights, [column_unit(name)[0] for name in names], fontsize=8)
    left.set_xlabel("PED-ANOVA: share of importance for the best 10%", fontsize=9)
    note = "" if importance.r2 > LEAST_R2 else ": not meaningful"
    right.set_xlabel(f"permutation: drop in R² (forest R² {importance.r2:.2f}{note})", fontsize=9)
    for axes in (left, right):
        style(axes)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(INTERVALS))
    return figure


def trend_figure(cards: Sequence[PopulationCard]) -> Figure | None:
    """Draw best values along a chain of spaces (Radosavovic et al. 2020, from figure 5 on).

    The whole range is gray, the interval of the best value red, its median a line.

    Returns:
        The figure; None for one population, or if there is no numeric variable in common.
    """
    names = [name for name in cards[0].best if all(name in card.best for card in cards)]
    if len(cards) < 2 or not names:
        return None
    names = names[:MOST_VARIABLES]
    rows = math.ceil(len(names) / ACROSS)
    figure = Figure(figsize=(9.6, 2.1 * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, ACROSS, sharex=True, squeeze=False)
    places = np.arange(len(cards))
    for axes, name in zip(grid.ravel(), names, strict=False):
        style(axes)
        label, scale = column_unit(name)
        values = [card.population.table[name] / scale for card in cards]
        best = [card.best[name] for card in cards]
        axes.fill_between(places, [v.min() for v in values], [v.max() for v in values], color=GRID)
        low, median, high = (
            np.array([getattr(b, end) for b in best]) / scale for end in ("low", "median", "high")
        )
        axes.fill_between(places, low, high, color=FRONT, alpha=0.3, lw=0)
        axes.plot(places, median, "o-", color=FRONT, ms=3.5, lw=1.3)
        axes.set_ylabel(label, fontsize=8)
        axes.set_xticks(places, [card.population.name for card in cards], fontsize=7)
        axes.tick_params(axis="x", rotation=20)
    without_rest(grid, len(names))
    return figure


def latency_figure(card: PopulationCard) -> Figure | None:
    """Draw latency against each of its linear fits; None if there is no fit."""
    if not card.fits:
        return None
    table = _thinned(card.population.table)
    figure = Figure(figsize=(3.2 * len(card.fits) + 0.2, 3.0), layout="constrained")
    grid = np.atleast_1d(figure.subplots(1, len(card.fits), sharey=True))
    for axes, fit in zip(grid, card.fits.values(), strict=True):
        style(axes)
        fitted = fit.predict({cost: table[cost] for cost in fit.slopes})
        axes.scatter(fitted, table[LATENCY], s=10, color=TRIAL, alpha=0.7, lw=0, rasterized=True)
        ends = [float(table[LATENCY].min()), float(table[LATENCY].max())]
        axes.plot(ends, ends, color=REFERENCE, lw=1)
        name = " + ".join(column_unit(cost)[0].removesuffix(" (M)") for cost in fit.slopes)
        axes.set_title(
            f"fit by {name}\nR² {fit.r2:.3f}, median error {100 * fit.median_error:.1f}%",
            fontsize=8,
        )
        axes.set_xlabel("fitted latency (ms)", fontsize=8)
    grid[0].set_ylabel("latency (ms)")
    return figure
