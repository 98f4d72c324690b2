"""``python -m analysis population``: how good the networks of a space are, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.errors import AnalysisError, check_columns
from analysis.read.population import (
    Population,
    ReadOptions,
    read_populations,
    with_unique_names,
)
from analysis.read.runs import json_text
from analysis.statistics.population_card import PopulationCard, card_data, cards, ks_tests
from analysis.statistics.published import LABEL, published_table
from analysis.units import column_unit, error_unit, number_of

MOST_SPLIT = 12
"""Number of populations into which a column splits one at most."""
MOST_SHOWN = 12
"""Number of design variables in a printed table at most."""
MOST_VALUES = 3
"""Number of values of a categorical variable that are printed at most."""


def population_cards(
    sources: Sequence[str],
    options: ReadOptions,
    split: str | None,
    complexity: str | None,
    seed: int,
) -> list[PopulationCard]:
    """Read populations and compute their statistics.

    Args:
        sources: Run directories, tables, or URLs of Optuna storages.
        options: Columns to read.
        split: Column that splits each population by its values; None for no split.
        complexity: Column by which distributions are normalized; None for no normalization.
        seed: Random seed.

    Raises:
        AnalysisError: See `populations` and `cards`.
    """
    return cards(populations(sources, options, split), complexity, seed)


def populations(
    sources: Sequence[str], options: ReadOptions, split: str | None = None
) -> list[Population]:
    """Read populations, and split them by the values of a column if one is given.

    Raises:
        AnalysisError: If a source cannot be read, the column cannot split it, or the errors of
            the populations are of different kinds.
    """
    result = read_populations(sources, options)
    if split is not None:
        parts = [part for each in result for part in _split(each, split, len(result) > 1)]
        result = with_unique_names(parts)
    labels = sorted({population.label for population in result})
    if len(labels) > 1:
        raise AnalysisError(
            f"the populations have errors of different kinds: {' and '.join(labels)}; name a "
            "column that all of them have with --error or --score"
        )
    return result


def _split(population: Population, column: str, several: bool) -> list[Population]:
    """Return one population per value of a column, and one for rows without a value."""
    check_columns(population.table, [column])
    values = population.table[column].astype(object).where(population.table[column].notna(), "none")
    distinct = sorted(values.unique(), key=str)
    if not 1 < len(distinct) <= MOST_SPLIT:
        raise AnalysisError(
            f"'{column}' has {number_of(len(distinct), 'value')}, but a population is split by "
            "a column with "
            f"2 to {MOST_SPLIT}"
        )
    source = f"{population.name}: " if several else ""
    return [population.where(f"{source}{column} {value}", values == value) for value in distinct]


# -- output -----------------------------------------------------------------------------------


def as_json(result: Sequence[PopulationCard], published: pd.DataFrame | None = None) -> str:
    """Return cards as JSON text, with the published networks to compare with, if any."""
    data: dict[str, Any] = {
        "populations": [card_data(card) for card in result],
        "ks_tests": [
            {"one": one, "other": other, **vars(test)}
            for (one, other), test in ks_tests(result).items()
        ],
    }
    if published is not None:
        data["published"] = {"label": LABEL, "networks": published.to_dict("records")}
    return json_text(data)


def show(
    result: Sequence[PopulationCard], console: Console, published: pd.DataFrame | None = None
) -> None:
    """Print cards as tables, with the published networks to compare with, if any."""
    console.print(_distributions_table(result))
    for (one, other), test in ks_tests(result).items():
        console.print(
            f"{one} vs. {other}: the distributions differ by at most {test.statistic:.3f} "
            f"(KS test, p = {test.p_value:.2g})"
        )
    for card in result:
        if card.best or card.choices:
            console.print(_variables_table(card))
        if card.kernels is not None:
            console.print(f"{card.population.name}: {card.kernels.claim}")
        for name, fit in card.fits.items():
            console.print(
                f"{card.population.name}: linear fit of latency by {name}: R² {fit.r2:.3f}, "
                f"median error {100 * fit.median_error:.1f}%"
            )
    if published is not None:
        console.print(published_table(published))


def _distributions_table(result: Sequence[PopulationCard]) -> Table:
    unit, factor = error_unit(result[0].population.label)
    table = Table(title=f"Distribution of {unit}", title_justify="left")
    table.add_column("population")
    for name in ("networks", "excluded", "best", "mean", "median", "complexity-normalized mean"):
        table.add_column(name, justify="right")
    for card in result:
        median = card.edf.errors[int((card.edf.shares < 0.5).sum())]
        table.add_row(
            card.population.name,
            f"{card.edf.n:,}",
            f"{card.population.seen - card.edf.n:,}",
            *(f"{factor * error:.4g}" for error in (card.edf.best, card.edf.mean, median)),
            _normalized_mean(card, factor),
        )
    return table


def _normalized_mean(card: PopulationCard, factor: float) -> str:
    """Return the mean error normalized by complexity as text, with the number of empty bins."""
    if card.normalised is None or card.normalisation is None:
        return "-"
    empty = card.normalisation.empty
    return f"{factor * card.normalised.mean:.4g}" + (f" (empty bins: {empty})" if empty else "")


def _variables_table(card: PopulationCard) -> Table:
    """Return the best values and importance of design variables, the most important first."""
    importance = card.importance
    table = Table(
        title=f"{card.population.name}: best values of the design variables (95% intervals)",
        title_justify="left",
    )
    for name in ("variable", "best"):
        table.add_column(name)
    for name in ("PED-ANOVA", "permutation"):
        table.add_column(name, justify="right")
    names = [*card.best, *card.choices]
    if importance is not None:
        names.sort(key=lambda name: -importance.ped_anova.get(name, -1.0))
    for name in names[:MOST_SHOWN]:
        importances = ("-", "-")
        if importance is not None and name in importance.ped_anova:
            mean, deviation = importance.permutation[name]
            importances = (f"{importance.ped_anova[name]:.2f}", f"{mean:.3f} ± {deviation:.3f}")
        table.add_row(column_unit(name)[0], _best_text(card, name), *importances)
    if len(names) > MOST_SHOWN:
        table.caption = f"--json prints all {len(names)} variables"
    return table


def _best_text(card: PopulationCard, name: str) -> str:
    """Return the best value of a variable and its interval, or how often its values win."""
    if name in card.best:
        scale = column_unit(name)[1]
        best = card.best[name]
        low, median, high = (value / scale for value in (best.low, best.median, best.high))
        return f"{median:.4g} ({low:.4g} to {high:.4g})"
    values = list(card.choices[name].items())[:MOST_VALUES]
    return ", ".join(f"{value} {100 * share:.0f}%" for value, share in values)
