"""What made the networks of a population good: all its statistics together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, is_numeric, numbers
from analysis.read.architectures import architectures
from analysis.read.population import Population
from analysis.schema import ARCHITECTURE, ERRORS
from analysis.statistics.distributions import (
    EDF,
    BestValue,
    KSTest,
    Normalisation,
    SearchEfficiency,
    SubsetWinners,
    best_choices,
    best_value,
    common_edges,
    edf,
    ks_test,
    normalise,
    search_efficiency,
    winners,
)
from analysis.statistics.kernel_use import KernelUse, kernel_use
from analysis.statistics.variables import FEWEST, Importance, LinearFit, importance, linear_fit

COMPLEXITIES = ("madds", "params", "activations")
LATENCY = "latency_ms"
BINS = 10


@dataclass(frozen=True)
class PopulationCard:
    """One population's statistics.

    Attributes:
        population: the networks.
        edf: of their errors.
        normalised: of their errors at even complexity; None where none was asked for.
        normalisation: its weights; None likewise.
        efficiency: what random search finds in it.
        winners: the best of random subsets, which the best values follow from.
        best: interval of the best value, by numeric variable.
        choices: how often every value wins, by categorical variable.
        importance: of the variables; None for too few networks or none.
        fits: of latency, by what it is fitted by; empty where no latency is known.
        kernels: which ones the best networks use where; None where no architectures are known.
        left_out: variables of which none of the best networks has a value.
    """

    population: Population
    edf: EDF
    normalised: EDF | None
    normalisation: Normalisation | None
    efficiency: SearchEfficiency
    winners: SubsetWinners
    best: dict[str, BestValue]
    choices: dict[str, dict[str, float]]
    importance: Importance | None
    fits: dict[str, LinearFit]
    kernels: KernelUse | None
    left_out: tuple[str, ...]


def cards(
    populations: Sequence[Population], complexity: str | None = None, seed: int = 0
) -> list[PopulationCard]:
    """Return the statistics of populations, which share one range of complexity.

    Args:
        populations: one or more.
        complexity: column to be made even in the normalised EDFs.
        seed: of resampling, forests and shuffling.

    Raises:
        AnalysisError: when a column is missing, or the populations share no complexity.
    """
    edges = None
    if complexity is not None:
        edges = common_edges([_known_complexity(p, complexity) for p in populations], BINS)
    return [_card(population, complexity, edges, seed) for population in populations]


def _known_complexity(population: Population, complexity: str) -> np.ndarray:
    """Return the complexity of networks that have an error, else NaN: no other fills a bin."""
    values = numbers(population.table, [complexity])[:, 0]
    known = np.isfinite(population.errors.to_numpy(dtype=float))
    return np.where(known, values, np.nan)


def _card(
    population: Population, complexity: str | None, edges: np.ndarray | None, seed: int
) -> PopulationCard:
    errors = population.errors.to_numpy(dtype=float)
    normalisation = normalised = None
    if edges is not None:
        normalisation = normalise(_known_complexity(population, str(complexity)), edges)
        normalised = edf(errors, normalisation.weights)
    won = winners(errors, seed=seed)
    best, choices, left_out = _best(population.table, design_columns(population), won)
    return PopulationCard(
        population,
        edf(errors),
        normalised,
        normalisation,
        search_efficiency(errors),
        won,
        best,
        choices,
        _importance(population, seed),
        latency_fits(population.table),
        _kernels(population),
        tuple(left_out),
    )


def design_columns(population: Population) -> list[str]:
    """Return the variables that differ between networks, and the complexities there are."""
    table = population.table
    costs = [name for name in COMPLEXITIES if name in table and is_numeric(table[name])]
    names = [*population.variables, *(cost for cost in costs if cost not in population.variables)]
    return [name for name in names if table[name].nunique() > 1]


def _best(
    table: pd.DataFrame, names: Sequence[str], won: SubsetWinners
) -> tuple[dict[str, BestValue], dict[str, dict[str, float]], list[str]]:
    best: dict[str, BestValue] = {}
    choices: dict[str, dict[str, float]] = {}
    left_out: list[str] = []
    for name in names:
        try:
            if pd.api.types.is_numeric_dtype(table[name]):
                best[name] = best_value(table[name], won)
            else:
                choices[name] = best_choices(table[name].fillna("-").tolist(), won)
        except AnalysisError:  # a variable of blocks that none of the best has
            left_out.append(name)
    return best, choices, left_out


def _importance(population: Population, seed: int) -> Importance | None:
    if not population.variables or population.known < FEWEST:
        return None
    return importance(population.table, ERRORS, population.variables, seed)


def _kernels(population: Population) -> KernelUse | None:
    if ARCHITECTURE not in population.table:
        return None
    table = population.table[population.table[ARCHITECTURE].notna()]
    errors = table[ERRORS].to_numpy(dtype=float)
    if np.isfinite(errors).sum() < FEWEST:
        return None
    return kernel_use(architectures(table), errors)


def latency_fits(table: pd.DataFrame) -> dict[str, LinearFit]:
    """Fit latency by multiply-adds, by activations and by both, as far as the table has them."""
    costs = [name for name in ("madds", "activations") if name in table and is_numeric(table[name])]
    if LATENCY not in table or not is_numeric(table[LATENCY]) or not costs:
        return {}
    ways = [[cost] for cost in costs] + ([costs] if len(costs) > 1 else [])
    return {" + ".join(way): linear_fit(table, LATENCY, way) for way in ways if _enough(table, way)}


def _enough(table: pd.DataFrame, way: list[str]) -> bool:
    known = np.isfinite(numbers(table, [LATENCY, *way])).all(axis=1)
    return int(known.sum()) >= len(way) + 2


def ks_tests(cards: Sequence[PopulationCard]) -> dict[tuple[str, str], KSTest]:
    """Compare the errors of every two populations."""
    return {
        (one.population.name, other.population.name): ks_test(
            one.population.errors, other.population.errors
        )
        for number, one in enumerate(cards)
        for other in cards[number + 1 :]
    }


def card_data(card: PopulationCard) -> dict[str, Any]:
    """Return a card as data for JSON: the summaries, not the curves' every step."""
    even = None
    if card.normalised is not None and card.normalisation is not None:
        even = {
            **_edf_data(card.normalised),
            "edges": card.normalisation.edges.tolist(),
            "counts": card.normalisation.counts.tolist(),
            "empty_bins": card.normalisation.empty,
            "outside": card.normalisation.outside,
        }
    found = card.efficiency
    told = card.importance
    return {
        "name": card.population.name,
        "error": card.population.label,
        "seen": card.population.seen,
        "edf": _edf_data(card.edf),
        "normalised_edf": even,
        "random_search": {
            "sizes": found.sizes.tolist(),
            "mean": found.mean.tolist(),
            "low": found.low.tolist(),
            "high": found.high.tolist(),
            "level": found.level,
        },
        "resamples": {
            "repeats": len(card.winners.rows),
            "size": card.winners.size,
            "seed": card.winners.seed,
        },
        "best_values": {name: vars(value) for name, value in card.best.items()},
        "best_choices": card.choices,
        "without_best": list(card.left_out),
        "importance": None if told is None else vars(told),
        "latency_fits": {name: vars(fit) for name, fit in card.fits.items()},
        "kernels": None if card.kernels is None else _kernel_data(card.kernels),
    }


def _kernel_data(use: KernelUse) -> dict[str, Any]:
    rows = [
        {
            "stage": stage + 1,
            "shares": {
                str(size): vars(found)
                for size, found in zip(use.sizes, use.shares[number], strict=True)
            },
            "mean_kernel": vars(use.kernel[number]),
            "groups": vars(use.groups[number]),
        }
        for number, stage in enumerate(use.stages)
    ]
    return {
        "claim": use.claim,
        "growth": vars(use.growth),
        "growth_interval": list(use.growth_interval),
        "n_good": use.n_good,
        "n": use.n,
        "dropped": use.dropped,
        "stages": rows,
    }


QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)


def _edf_data(found: EDF) -> dict[str, Any]:
    at = np.minimum(np.searchsorted(found.shares, QUANTILES), len(found.errors) - 1)
    return {
        "n": found.n,
        "effective_n": found.effective_n,
        "dropped": found.dropped,
        "best": found.best,
        "mean": found.mean,
        "level": found.level,
        "quantiles": {
            str(share): float(found.errors[i]) for share, i in zip(QUANTILES, at, strict=True)
        },
    }
