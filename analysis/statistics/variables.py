"""Importance of design variables for the error, and linear fits of latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError, check_columns, floats, is_numeric, numbers
from analysis.units import number_of

GOOD_SHARE = 0.1
"""Share of a population that counts as good."""
TREES = 50
SHUFFLES = 5
LEVELS = 10
"""Levels into which PED-ANOVA cuts a variable."""
FEWEST = 10
LARGEST = 1e30  # of a number, whose square the forest must be able to add up

"""Fewest networks for which importance is computed."""
MOST = 1_000
"""Most networks for which it is computed, drawn at random: more take long and change little."""


@dataclass(frozen=True)
class Importance:
    """Importance of each design variable for the error.

    Attributes:
        ped_anova: By variable, share of what separates the best tenth of the networks from the rest
            (Watanabe et al. 2023); the sum is 1.
        permutation: By variable, loss of R^2 of a random forest on unseen networks when the
            variable is shuffled among them (Breiman 2001), and its standard deviation.
        r2: R^2 of the forest on unseen networks; if it is low, `permutation` is not meaningful.
        n: Networks used.
        dropped: Networks left out because their error is not finite.
        seed: Random seed of drawing networks, of the forest and of shuffling.
    """

    ped_anova: dict[str, float]
    permutation: dict[str, tuple[float, float]]
    r2: float
    n: int
    dropped: int
    seed: int


def importance(
    table: pd.DataFrame, error: str, variables: Sequence[str], seed: int = 0
) -> Importance:
    """Return the importance of design variables for the error.

    Args:
        table: One row per network.
        error: Column to minimize.
        variables: Columns of the variables: numbers, or categories identified by their text. A
            variable with a single value has importance 0.
        seed: Random seed of drawing networks, of the forest and of shuffling.

    Raises:
        AnalysisError: If a column is missing, the error is not numeric, or there are too few
            networks.
    """
    check_columns(table, [error, *variables])
    values = numbers(table, [error])[:, 0]
    finite = np.isfinite(values)
    if finite.sum() < FEWEST:
        raise AnalysisError(
            f"a finite {error} is known of {number_of(int(finite.sum()), 'network')}; importance "
            f"needs {FEWEST}"
        )
    chosen = np.flatnonzero(finite)
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST, replace=False))
    rows = table.iloc[chosen][list(variables)]
    values = np.clip(values[chosen], -LARGEST, LARGEST)
    constant = [name for name in variables if rows[name].nunique(dropna=False) <= 1]
    codes = pd.DataFrame({name: _codes(rows[name]) for name in variables if name not in constant})
    ped_anova: dict[str, float] = {}
    permutation: dict[str, tuple[float, float]] = {}
    r2 = 0.0
    if len(codes.columns):
        ped_anova = _ped_anova(codes, values)
        permutation, r2 = _permutation(codes, values, seed)
    return Importance(
        ped_anova={**ped_anova, **dict.fromkeys(constant, 0.0)},
        permutation={**permutation, **dict.fromkeys(constant, (0.0, 0.0))},
        r2=r2,
        n=len(rows),
        dropped=int((~finite).sum()),
        seed=seed,
    )


def _levels(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a variable with many values into tenths.

    The more levels a variable has, the more importance PED-ANOVA finds in it by chance.
    """
    if len(np.unique(codes)) <= LEVELS:
        return codes
    inner = np.quantile(codes, np.linspace(0, 1, LEVELS + 1)[1:-1])
    return np.searchsorted(np.unique(inner), codes, side="right").astype(float)


def _codes(values: pd.Series) -> NDArray[np.float64]:
    """Return numbers as they are, and categories as their position in the order of their text.

    A number is missing if the network lacks the block it describes; it goes below all others.
    """
    if is_numeric(values):
        codes = floats(values)
        known = np.isfinite(codes)
        codes = np.clip(codes, -LARGEST, LARGEST)
        return np.where(known, codes, codes[known].min() - 1 if known.any() else 0.0)
    text = ["-" if missing else str(v) for v, missing in zip(values, values.isna(), strict=True)]
    return np.unique(text, return_inverse=True)[1].astype(float)


def _ped_anova(codes: pd.DataFrame, values: NDArray[np.float64]) -> dict[str, float]:
    """Return importance by Optuna, with each variable as a choice among its values or tenths."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    codes = pd.DataFrame({name: _levels(codes[name].to_numpy()) for name in codes})
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
        spaces: dict[str, Any] = {
            str(name): optuna.distributions.CategoricalDistribution(sorted(codes[name].unique()))
            for name in codes
        }
        study.add_trials(
            [
                optuna.create_trial(
                    params=dict(zip(spaces, row, strict=True)), distributions=spaces, value=value
                )
                for row, value in zip(codes.to_numpy().tolist(), values.tolist(), strict=True)
            ]
        )
        importances = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=GOOD_SHARE)
        )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {str(name): float(importances.get(str(name), 0.0)) for name in codes}


def _permutation(
    codes: pd.DataFrame, values: NDArray[np.float64], seed: int
) -> tuple[dict[str, tuple[float, float]], float]:
    """Return the loss of R^2 by variable on an unseen third of the networks, and the R^2."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import train_test_split

    train_codes, test_codes, train_values, test_values = train_test_split(
        codes, values, test_size=1 / 3, random_state=seed
    )
    forest = RandomForestRegressor(TREES, random_state=seed, min_samples_leaf=2)
    forest.fit(train_codes, train_values)
    importances = permutation_importance(
        forest, test_codes, test_values, n_repeats=SHUFFLES, random_state=seed
    )
    pairs = zip(importances.importances_mean, importances.importances_std, strict=True)
    losses = {
        str(name): (float(mean), float(deviation))
        for name, (mean, deviation) in zip(codes, pairs, strict=True)
    }
    return losses, float(forest.score(test_codes, test_values))


# -- latency ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearFit:
    """A linear model of a measured quantity in terms of costs.

    Attributes:
        target: Column that is modeled.
        intercept: Intercept, in the unit of the target.
        slopes: Slope by column of the cost.
        r2: Share of the variance that is explained.
        median_error: Median of the absolute relative errors.
        n: Networks.
        dropped: Networks left out because a value is not finite.
    """

    target: str
    intercept: float
    slopes: dict[str, float]
    r2: float
    median_error: float
    n: int
    dropped: int

    def predict(self, costs: Mapping[str, Any]) -> Any:
        """Return the target predicted from costs by column: numbers, arrays or columns."""
        return self.intercept + sum(slope * costs[name] for name, slope in self.slopes.items())


def linear_fit(table: pd.DataFrame, target: str, costs: Sequence[str]) -> LinearFit:
    """Fit a target by a weighted sum of costs (Radosavovic et al. 2020, section 3.5).

    Within one family of networks, multiply-adds predict latency well; across families, activations
    do.

    Args:
        table: One row per network.
        target: Column to model, such as a latency.
        costs: Columns that explain it, such as multiply-adds and activations.

    Raises:
        AnalysisError: If a column is missing or not numeric, or there are too few networks.
    """
    values = numbers(table, [target, *costs])
    finite = np.isfinite(values).all(axis=1)
    measured, features = values[finite, 0], values[finite, 1:]
    if len(measured) < len(costs) + 2:
        raise AnalysisError(
            f"too few networks to fit {target} by {number_of(len(costs), 'cost')}: {len(measured)}"
        )
    # Costs differ by orders of magnitude; least squares is more accurate when they are scaled.
    scale = np.abs(features).max(axis=0)
    scale[scale == 0] = 1.0
    design = np.column_stack([np.ones(len(measured)), features / scale])
    coefficients, *_ = np.linalg.lstsq(design, measured)
    fitted = design @ coefficients
    total = float(np.square(measured - measured.mean()).sum())
    residual = float(np.square(measured - fitted).sum())
    relative = np.abs(fitted - measured) / np.maximum(np.abs(measured), 1e-30)
    return LinearFit(
        target=target,
        intercept=float(coefficients[0]),
        slopes=dict(zip(costs, (coefficients[1:] / scale).tolist(), strict=True)),
        r2=1 - residual / total if total > 0 else 0.0,
        median_error=float(np.median(relative)),
        n=len(measured),
        dropped=int((~finite).sum()),
    )
