"""Drawing populations: distributions, best values, random search, importance, trends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from analysis.figures.style import FRONT, GRID, REFERENCE, TRIAL, colours, legend, single, style
from analysis.schema import ERRORS
from analysis.statistics.distributions import EDF, BestValue
from analysis.statistics.population_card import LATENCY, PopulationCard, design_columns
from analysis.units import column_unit, error_unit

ACROSS = 3  # small figures side by side
MOST_POINTS = 4_000  # that are drawn of a population
MOST_STEPS = 2_000  # of a curve
MOST_VARIABLES = 15
LEAST_R2 = 0.1  # of a forest whose losses say something
FEW = 200  # networks, up to which each is drawn to be seen


def edf_figure(found: Mapping[str, EDF], label: str, title: str = "") -> Figure:
    """Draw distributions of errors as steps, with their bands."""
    figure, axes = single(4.2)
    unit, factor = error_unit(label)
    for name, colour in colours(list(found)).items():
        curve = found[name]
        shown = np.unique(np.linspace(0, len(curve.errors) - 1, MOST_STEPS).round().astype(int))
        errors = factor * np.append(curve.errors[0], curve.errors[shown])
        low, high, shares = (
            np.insert(ends[shown], 0, 0.0) for ends in (curve.low, curve.high, curve.shares)
        )
        axes.fill_between(errors, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
        numbers = f"n {curve.n:,}, best {factor * curve.best:.4g}, mean {factor * curve.mean:.4g}"
        entry = f"{name}: {numbers}"
        axes.step(errors, shares, where="post", color=colour, linewidth=1.5, label=entry)
    axes.set_xlabel(unit)
    bound = "at most that error" if factor > 0 else "at least that score"
    axes.set_ylabel(f"share of networks with {bound}")
    axes.set_ylim(0, 1.02)
    axes.set_title(title, fontsize=10, loc="left")
    legend(axes, "lower right" if factor > 0 else "lower left")
    return figure


def efficiency_figure(found: Sequence[PopulationCard]) -> Figure:
    """Draw how low the error of the best of m random networks is."""
    figure, axes = single(3.6)
    unit, factor = error_unit(found[0].population.label)
    for card, colour in zip(found, _card_colours(found), strict=True):
        curve = card.efficiency
        axes.fill_between(
            curve.sizes, factor * curve.low, factor * curve.high, color=colour, alpha=0.12, lw=0
        )
        axes.plot(
            curve.sizes, factor * curve.mean, "o-", ms=3.5, color=colour, label=card.population.name
        )
    axes.set_xscale("log", base=2)
    axes.set_xlabel("networks drawn at random")
    axes.set_ylabel(f"{unit} of the best")
    legend(axes, "upper right" if factor > 0 else "lower right")
    return figure


def variables_figure(card: PopulationCard) -> Figure | None:
    """Draw errors over every design variable, with the interval of its best value.

    Those that matter most come first where importance is known.
    """
    names = [name for name in design_columns(card.population) if name not in card.left_out]
    if not names:
        return None
    names = _by_importance(names, card)[:MOST_VARIABLES]
    rows = math.ceil(len(names) / ACROSS)
    figure = Figure(figsize=(9.6, 2.3 * rows + 0.2), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, ACROSS, sharey=True)).ravel()
    table = _thinned(card.population.table)
    unit, factor = error_unit(card.population.label)
    for axes, name in zip(grid, names, strict=False):
        style(axes)
        if name in card.best:
            _numeric(axes, table, name, factor, card.best[name])
        else:
            _categorical(axes, table, name, factor, card.choices[name])
    for axes in grid[len(names) :]:
        axes.remove()
    for axes in grid[: len(names) : ACROSS]:
        axes.set_ylabel(unit)
    return figure


def _numeric(axes: Axes, table: pd.DataFrame, name: str, factor: float, best: BestValue) -> None:
    label, scale = column_unit(name)
    xs, ys = _jittered(table[name]) / scale, factor * table[ERRORS]
    _points(axes, xs, ys)
    axes.axvspan(best.low / scale, best.high / scale, color=FRONT, alpha=0.12, lw=0)
    axes.axvline(best.median / scale, color=FRONT, linewidth=1.4, zorder=3)
    low, median, high = (value / scale for value in (best.low, best.median, best.high))
    axes.set_xlabel(f"{label}: best {median:.4g} ({low:.4g} to {high:.4g})", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _categorical(
    axes: Axes, table: pd.DataFrame, name: str, factor: float, shares: Mapping[str, float]
) -> None:
    """Draw choices side by side, the ones that win most often first, at most eight."""
    text = table[name].fillna("-").astype(str)
    shown = [*shares, *sorted(set(text) - set(shares))][:8]
    for place, value in enumerate(shown):
        errors = factor * table.loc[text == value, ERRORS]
        spread = np.random.default_rng(place).uniform(-0.25, 0.25, len(errors))
        _points(axes, place + spread, errors)
        if shares.get(value, 0) > 0:
            axes.axvspan(place - 0.4, place + 0.4, color=FRONT, alpha=0.3 * shares[value], lw=0)
    ticks = [f"{value}\n{100 * shares.get(value, 0):.0f}%" for value in shown]
    axes.set_xticks(range(len(shown)), ticks, fontsize=6 if len(shown) > 5 else 7)
    axes.set_xlabel(f"{column_unit(name)[0]}: how often it is best", fontsize=8)


def _points(axes: Axes, xs: ArrayLike, ys: ArrayLike) -> None:
    """Draw networks over the band, the fewer the larger.

    As pixels also in SVG: thousands of points make a page slow.
    """
    few = np.size(xs) <= FEW
    size, alpha = (16, 0.95) if few else (7, 0.5)
    axes.scatter(xs, ys, s=size, color=TRIAL, alpha=alpha, lw=0, rasterized=not few, zorder=2.5)


def _jittered(values: pd.Series) -> pd.Series:
    """Move values that are few and equal apart a little, so that points can be told apart."""
    different = np.sort(values.dropna().unique())
    if len(different) > 20 or len(different) < 2:
        return values
    width = 0.18 * float(np.diff(different).min())
    return values + np.random.default_rng(0).uniform(-width, width, len(values))


def _by_importance(names: Sequence[str], card: PopulationCard) -> list[str]:
    told = card.importance
    if told is None:
        return list(names)
    return sorted(names, key=lambda name: -told.ped_anova.get(name, 1.0))


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    return table if len(table) <= MOST_POINTS else table.sample(MOST_POINTS, random_state=0)


def importance_figure(card: PopulationCard) -> Figure | None:
    """Draw how important the variables are, by both measures."""
    told = card.importance
    if told is None:
        return None
    names = sorted(told.ped_anova, key=lambda name: told.ped_anova[name])[-MOST_VARIABLES:]
    figure = Figure(figsize=(9.2, 0.27 * len(names) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    height = np.arange(len(names))
    left.barh(height, [told.ped_anova[name] for name in names], color=REFERENCE)
    means, deviations = zip(*(told.permutation[name] for name in names), strict=True)
    right.barh(height, means, xerr=deviations, color=TRIAL, error_kw={"linewidth": 1})
    left.set_yticks(height, [column_unit(name)[0] for name in names], fontsize=8)
    left.set_xlabel("PED-ANOVA: share of what tells the best tenth")
    trust = "" if told.r2 > LEAST_R2 else ", so that it tells nothing"
    right.set_xlabel(f"permutation: loss of R² (forest: {told.r2:.2f}{trust})")
    for axes in (left, right):
        style(axes)
        axes.grid(visible=False, axis="y")
    return figure


def trend_figure(found: Sequence[PopulationCard]) -> Figure | None:
    """Draw the best values over a chain of spaces (Radosavovic et al. 2020, figure 5 on).

    Grey is the whole range, red the interval of the best value, the line its median.
    """
    names = [name for name in found[0].best if all(name in card.best for card in found)]
    if len(found) < 2 or not names:
        return None
    names = names[:MOST_VARIABLES]
    rows = math.ceil(len(names) / ACROSS)
    figure = Figure(figsize=(9.6, 2.1 * rows + 0.2), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, ACROSS, sharex=True)).ravel()
    places = np.arange(len(found))
    for axes, name in zip(grid, names, strict=False):
        style(axes)
        label, scale = column_unit(name)
        values = [card.population.table[name] / scale for card in found]
        best = [card.best[name] for card in found]
        axes.fill_between(places, [v.min() for v in values], [v.max() for v in values], color=GRID)
        low, median, high = (
            np.array([getattr(b, end) for b in best]) / scale for end in ("low", "median", "high")
        )
        axes.fill_between(places, low, high, color=FRONT, alpha=0.3, lw=0)
        axes.plot(places, median, "o-", color=FRONT, ms=3.5, lw=1.3)
        axes.set_ylabel(label, fontsize=8)
        axes.set_xticks(places, [card.population.name for card in found], fontsize=7)
        axes.tick_params(axis="x", rotation=20)
    for axes in grid[len(names) :]:
        axes.remove()
    return figure


def latency_figure(card: PopulationCard) -> Figure | None:
    """Draw latency over what it is fitted by, one figure a fit."""
    if not card.fits:
        return None
    table = _thinned(card.population.table)
    figure = Figure(figsize=(3.2 * len(card.fits) + 0.2, 3.0), layout="constrained")
    grid = np.atleast_1d(figure.subplots(1, len(card.fits), sharey=True))
    for axes, (name, fit) in zip(grid, card.fits.items(), strict=True):
        style(axes)
        fitted = fit.predict({cost: table[cost] for cost in fit.slopes})
        axes.scatter(fitted, table[LATENCY], s=10, color=TRIAL, alpha=0.7, lw=0, rasterized=True)
        ends = [float(table[LATENCY].min()), float(table[LATENCY].max())]
        axes.plot(ends, ends, color=REFERENCE, lw=1)
        axes.set_title(
            f"{name}\nR² {fit.r2:.3f}, median error {100 * fit.median_error:.1f}%", fontsize=8
        )
        axes.set_xlabel("latency as fitted (ms)", fontsize=8)
    grid[0].set_ylabel("latency (ms)")
    return figure


def _card_colours(found: Sequence[PopulationCard]) -> list[str]:
    return list(colours([card.population.name for card in found]).values())
