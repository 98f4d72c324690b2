"""``python -m analysis population``: what made the networks of a space good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from analysis.errors import AnalysisError, check_columns
from analysis.figures.fronts import baselines_figure
from analysis.figures.kernels import kernel_figure, staircase_figure
from analysis.figures.mixconv_paper import PopulationOverlay, published_figures
from analysis.figures.population import (
    edf_figure,
    efficiency_figure,
    importance_figure,
    latency_figure,
    trend_figure,
    variables_figure,
)
from analysis.read.architectures import architectures
from analysis.read.population import (
    Population,
    ReadOptions,
    network_name,
    read_populations,
    told_apart,
)
from analysis.read.runs import json_text
from analysis.schema import ARCHITECTURE, ERRORS
from analysis.statistics.population_card import PopulationCard, card_data, cards, ks_tests
from analysis.statistics.published import LABEL, published_table
from analysis.units import column_unit, error_unit, quality_unit

MOST_SPLIT = 12  # values of a column that populations are made of
SHOWN_NETWORKS = 4
MOST_SHOWN = 12  # variables in a printed table


def populations(
    sources: Sequence[str], reading: ReadOptions, split: str | None = None
) -> list[Population]:
    """Read populations; with `split`, one for every value of a column.

    Raises:
        AnalysisError: when a source cannot be read, or the column cannot split it.
    """
    found = read_populations(sources, reading)
    if split is not None:
        parts = [part for population in found for part in _split(population, split, len(found) > 1)]
        found = told_apart(parts)
    labels = sorted({population.label for population in found})
    if len(labels) > 1:
        raise AnalysisError(
            f"the populations have errors of different kinds: {' and '.join(labels)}; name one "
            "column that all have with --error or --score"
        )
    return found


def _split(population: Population, column: str, several: bool) -> list[Population]:
    """Return a population for every value of a column, and one for those without a value."""
    check_columns(population.table, [column])
    values = population.table[column].astype(object).where(population.table[column].notna(), "none")
    different = sorted(values.unique(), key=str)
    if not 1 < len(different) <= MOST_SPLIT:
        raise AnalysisError(
            f"'{column}' has {len(different)} values; a population is split by 2 to {MOST_SPLIT}"
        )
    source = f"{population.name}: " if several else ""
    return [population.where(f"{source}{column} {value}", values == value) for value in different]


# -- what is shown ----------------------------------------------------------------------------


def as_json(found: Sequence[PopulationCard], beside: pd.DataFrame | None = None) -> str:
    """Return cards as JSON, with published networks if there are any to see them among."""
    data: dict[str, Any] = {
        "populations": [card_data(card) for card in found],
        "ks_tests": [
            {"one": one, "other": other, **vars(test)}
            for (one, other), test in ks_tests(found).items()
        ],
    }
    if beside is not None:
        data["published"] = {"label": LABEL, "networks": beside.to_dict("records")}
    return json_text(data)


def show(
    found: Sequence[PopulationCard], console: Console, beside: pd.DataFrame | None = None
) -> None:
    """Print cards as tables, and published networks."""
    console.print(_distributions(found))
    for (one, other), test in ks_tests(found).items():
        console.print(
            f"{one} against {other}: the distributions differ by {test.statistic:.3f} at most "
            f"(KS test, p = {test.p_value:.2g})"
        )
    for card in found:
        for table in _variables(card):
            console.print(table)
        if card.kernels is not None:
            console.print(f"{card.population.name}: {card.kernels.claim}")
        for name, fit in card.fits.items():
            console.print(
                f"{card.population.name}: latency by {name}: R² {fit.r2:.3f}, median error "
                f"{100 * fit.median_error:.1f}%"
            )
    if beside is not None:
        console.print(published_table(beside))


def _distributions(found: Sequence[PopulationCard]) -> Table:
    unit, factor = error_unit(found[0].population.label)
    table = Table(title=f"Distribution of {unit}", title_justify="left")
    table.add_column("population")
    for name in ("networks", "left out", "best", "mean", "median", "mean at even complexity"):
        table.add_column(name, justify="right")
    for card in found:
        even = card.normalised
        left_out = card.population.seen - card.edf.n
        told = "-"
        if even is not None and card.normalisation is not None:
            empty = card.normalisation.empty
            told = f"{factor * even.mean:.4g}" + (f" ({empty} empty bins)" if empty else "")
        median = card.edf.errors[int((card.edf.shares < 0.5).sum())]
        numbers = (card.edf.best, card.edf.mean, median)
        table.add_row(
            card.population.name,
            f"{card.edf.n:,}",
            f"{left_out:,}",
            *(f"{factor * number:.4g}" for number in numbers),
            told,
        )
    return table


def _variables(card: PopulationCard) -> Iterable[Table]:
    told = card.importance
    if not card.best and not card.choices:
        return
    table = Table(
        title=f"{card.population.name}: where the best networks lie (95% of resamples)",
        title_justify="left",
    )
    for name in ("variable", "best"):
        table.add_column(name)
    for name in ("PED-ANOVA", "permutation"):
        table.add_column(name, justify="right")
    names = [*card.best, *card.choices]
    if told is not None:
        names.sort(key=lambda name: -told.ped_anova.get(name, -1.0))
    for name in names[:MOST_SHOWN]:
        matters = ("-", "-")
        if told is not None and name in told.ped_anova:
            mean, deviation = told.permutation[name]
            matters = (f"{told.ped_anova[name]:.2f}", f"{mean:.3f} ± {deviation:.3f}")
        table.add_row(column_unit(name)[0], _best_text(card, name), *matters)
    if len(names) > MOST_SHOWN:
        table.caption = f"{len(names) - MOST_SHOWN} more with --json"
    yield table


def _best_text(card: PopulationCard, name: str) -> str:
    if name in card.best:
        scale = column_unit(name)[1]
        best = card.best[name]
        low, median, high = (value / scale for value in (best.low, best.median, best.high))
        return f"{median:.4g} ({low:.4g} to {high:.4g})"
    first = list(card.choices[name].items())[:3]
    return ", ".join(f"{value} {100 * share:.0f}%" for value, share in first)


# -- figures ----------------------------------------------------------------------------------


def figures(
    found: Sequence[PopulationCard], beside: pd.DataFrame | None = None, papers: bool = True
) -> dict[str, Figure]:
    """Return the figures of cards by file name.

    Args:
        found: the cards.
        beside: published networks to see them among, if any.
        papers: also draw MixConv's published figures.
    """
    label = found[0].population.label
    drawn: dict[str, Figure | None] = {
        "edf": edf_figure({card.population.name: card.edf for card in found}, label),
        "random_search": efficiency_figure(found),
        "trends": trend_figure(found),
    }
    even = {card.population.name: card.normalised for card in found if card.normalised is not None}
    if even:
        drawn["edf_normalised"] = edf_figure(even, label, "at even complexity")
    for number, card in enumerate(found):
        end = f"_{number}" if len(found) > 1 else ""
        drawn[f"variables{end}"] = variables_figure(card)
        drawn[f"importance{end}"] = importance_figure(card)
        drawn[f"latency{end}"] = latency_figure(card)
        drawn |= {f"{name}{end}": figure for name, figure in _mixconv(card, papers).items()}
    if beside is not None:
        drawn["published"] = baselines_figure([card.population for card in found], beside)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _mixconv(card: PopulationCard, papers: bool) -> dict[str, Figure]:
    """Return pictures of kernels, of the best and worst networks, and the paper's if wanted."""
    if card.kernels is None:
        return {}
    table = card.population.table.sort_values(ERRORS, kind="stable")
    table = table[np.isfinite(table[ERRORS]) & table[ARCHITECTURE].notna()]
    unit, factor = error_unit(card.population.label)
    quality, offset, sign = quality_unit(card.population.label)
    own = PopulationOverlay(
        card.population.name,
        architectures(table),
        offset + sign * table[ERRORS].to_numpy(dtype=float),
        quality,
        table["madds"].to_numpy(dtype=float) if "madds" in table else None,
    )
    ends = {
        "best_networks": table.head(SHOWN_NETWORKS),
        "worst_networks": table.tail(SHOWN_NETWORKS),
    }
    stairs = {
        name: staircase_figure(
            [
                (f"{network_name(row)}: {unit} {factor * row[ERRORS]:.4g}", blocks)
                for (_, row), blocks in zip(rows.iterrows(), architectures(rows), strict=True)
            ]
        )
        for name, rows in ends.items()
    }
    figures = {"kernels": kernel_figure(card.kernels), **stairs}
    return {**figures, **published_figures(own)} if papers else figures


def population_cards(
    sources: Sequence[str],
    reading: ReadOptions,
    split: str | None,
    complexity: str | None,
    seed: int,
) -> list[PopulationCard]:
    """Read populations and return their statistics."""
    return cards(populations(sources, reading, split), complexity, seed)
