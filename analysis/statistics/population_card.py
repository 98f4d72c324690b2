"""The population card: all statistics of a population in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, floats, is_numeric, numbers
from analysis.read.architectures import architectures
from analysis.read.population import Population
from analysis.schema import ARCHITECTURE, ERRORS
from analysis.statistics.best_values import (
    BestValue,
    SubsetWinners,
    best_choices,
    best_value,
    winners,
)
from analysis.statistics.distributions import (
    EDF,
    KSTest,
    Normalisation,
    SearchEfficiency,
    common_edges,
    edf,
    ks_test,
    normalise,
    search_efficiency,
)
from analysis.statistics.kernel_use import KernelUse, kernel_use
from analysis.statistics.variables import FEWEST, Importance, LinearFit, importance, linear_fit

COMPLEXITIES = ("madds", "params", "activations")
LATENCY = "latency_ms"
BINS = 10
"""Bins of complexity over which normalized EDFs are uniform."""
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of an EDF in JSON."""


@dataclass(frozen=True)
class PopulationCard:
    """The statistics of one population.

    Attributes:
        population: The networks.
        edf: EDF of their errors.
        normalised: EDF of their errors at uniform complexity; None if not requested.
        normalisation: Weights of that EDF; None if not requested.
        efficiency: Errors that random search reaches.
        winners: Best networks of random subsets, from which best values follow.
        best: Interval of the best value, by numeric variable.
        choices: Share of wins by value, by categorical variable.
        importance: Importance of the variables; None for too few networks or no variables.
        fits: Fits of latency, by the names of the costs; empty if no latency is known.
        kernels: Kernel sizes of the good networks; None if architectures are unknown.
        left_out: Variables for which none of the best networks has a value.
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
    """Return the statistics of populations, normalized over the same range of complexity.

    Args:
        populations: One or more populations.
        complexity: Column that is uniform in the normalized EDFs; None for no such EDFs.
        seed: Random seed of resampling, forests and shuffling.

    Raises:
        AnalysisError: If a column is missing or not numeric, or complexities do not overlap.
    """
    edges = None
    if complexity is not None:
        edges = common_edges([_known_complexity(p, complexity) for p in populations], BINS)
    return [_card(population, complexity, edges, seed) for population in populations]


def _known_complexity(population: Population, complexity: str) -> np.ndarray:
    """Return the complexity of each network, NaN without an error so that it fills no bin."""
    values = numbers(population.table, [complexity])[:, 0]
    known = np.isfinite(floats(population.errors))
    return np.where(known, values, np.nan)


def _card(
    population: Population, complexity: str | None, edges: np.ndarray | None, seed: int
) -> PopulationCard:
    errors = floats(population.errors)
    normalisation = normalised = None
    if edges is not None:
        normalisation = normalise(_known_complexity(population, str(complexity)), edges)
        normalised = edf(errors, normalisation.weights)
    subset_winners = winners(errors, seed=seed)
    best, choices, left_out = _best(population.table, design_columns(population), subset_winners)
    return PopulationCard(
        population=population,
        edf=edf(errors),
        normalised=normalised,
        normalisation=normalisation,
        efficiency=search_efficiency(errors),
        winners=subset_winners,
        best=best,
        choices=choices,
        importance=_importance(population, seed),
        fits=latency_fits(population.table),
        kernels=_kernels(population),
        left_out=tuple(left_out),
    )


def design_columns(population: Population) -> list[str]:
    """Return the design variables and complexities that differ between networks."""
    table = population.table
    costs = [name for name in COMPLEXITIES if name in table and is_numeric(table[name])]
    names = [*population.variables, *(cost for cost in costs if cost not in population.variables)]
    return [name for name in names if table[name].nunique() > 1]


def _best(
    table: pd.DataFrame, names: Sequence[str], subset_winners: SubsetWinners
) -> tuple[dict[str, BestValue], dict[str, dict[str, float]], list[str]]:
    """Return best values, wins by choice, and the variables without a value in the winners."""
    best: dict[str, BestValue] = {}
    choices: dict[str, dict[str, float]] = {}
    left_out: list[str] = []
    for name in names:
        try:
            if is_numeric(table[name]):
                best[name] = best_value(floats(table[name]), subset_winners)
            else:
                choices[name] = best_choices(table[name].fillna("-").tolist(), subset_winners)
        except AnalysisError:  # the variable of a block that no winner has
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
    errors = floats(table[ERRORS])
    if np.isfinite(errors).sum() < FEWEST:
        return None
    return kernel_use(architectures(table), errors)


def latency_fits(table: pd.DataFrame) -> dict[str, LinearFit]:
    """Fit latency by multiply-adds, by activations and by both, as far as the table has them.

    Returns:
        Fits by the names of their costs, joined with " + "; those with too few networks are left
        out.
    """
    costs = [name for name in ("madds", "activations") if name in table and is_numeric(table[name])]
    if LATENCY not in table or not is_numeric(table[LATENCY]) or not costs:
        return {}
    subsets = [[cost] for cost in costs] + ([costs] if len(costs) > 1 else [])
    return {
        " + ".join(subset): linear_fit(table, LATENCY, subset)
        for subset in subsets
        if _can_fit(table, subset)
    }


def _can_fit(table: pd.DataFrame, costs: list[str]) -> bool:
    finite = np.isfinite(numbers(table, [LATENCY, *costs])).all(axis=1)
    return int(finite.sum()) >= len(costs) + 2


def ks_tests(cards: Sequence[PopulationCard]) -> dict[tuple[str, str], KSTest]:
    """Compare the errors of each pair of populations, by their names."""
    return {
        (one.population.name, other.population.name): ks_test(
            one.population.errors, other.population.errors
        )
        for number, one in enumerate(cards)
        for other in cards[number + 1 :]
    }


def card_data(card: PopulationCard) -> dict[str, Any]:
    """Return a card as data for JSON, with curves reduced to summaries."""
    normalised = None
    if card.normalised is not None and card.normalisation is not None:
        normalised = {
            **_edf_data(card.normalised),
            "edges": card.normalisation.edges.tolist(),
            "counts": card.normalisation.counts.tolist(),
            "empty_bins": card.normalisation.empty,
            "outside": card.normalisation.outside,
        }
    return {
        "name": card.population.name,
        "error": card.population.label,
        "seen": card.population.seen,
        "edf": _edf_data(card.edf),
        "normalised_edf": normalised,
        "random_search": {
            "sizes": card.efficiency.sizes.tolist(),
            "mean": card.efficiency.mean.tolist(),
            "low": card.efficiency.low.tolist(),
            "high": card.efficiency.high.tolist(),
            "level": card.efficiency.level,
        },
        "resamples": {
            "repeats": len(card.winners.rows),
            "size": card.winners.size,
            "seed": card.winners.seed,
        },
        "best_values": {name: vars(value) for name, value in card.best.items()},
        "best_choices": card.choices,
        "without_best": list(card.left_out),
        "importance": None if card.importance is None else vars(card.importance),
        "latency_fits": {name: vars(fit) for name, fit in card.fits.items()},
        "kernels": None if card.kernels is None else _kernel_data(card.kernels),
    }


def _kernel_data(use: KernelUse) -> dict[str, Any]:
    rows = [
        {
            "stage": stage + 1,
            "shares": {
                str(size): vars(contrast)
                for size, contrast in zip(use.sizes, use.shares[number], strict=True)
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


def _edf_data(distribution: EDF) -> dict[str, Any]:
    at = np.searchsorted(distribution.shares, QUANTILES)  # within: the last share is 1
    return {
        "n": distribution.n,
        "effective_n": distribution.effective_n,
        "dropped": distribution.dropped,
        "best": distribution.best,
        "mean": distribution.mean,
        "level": distribution.level,
        "quantiles": {
            str(share): float(distribution.errors[i])
            for share, i in zip(QUANTILES, at, strict=True)
        },
    }
