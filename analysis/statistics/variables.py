"""Which design variables matter, and what latency follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError, check_columns

GOOD = 0.1  # share of a population that counts as good in PED-ANOVA
TREES = 50
SHUFFLES = 5
LEVELS = 10  # of a variable in PED-ANOVA
FEWEST = 10  # networks that importance is told of, at least
MOST = 1_000  # and at most, drawn at random: more take long and change little


@dataclass(frozen=True)
class Importance:
    """How much each design variable tells of the error.

    Attributes:
        ped_anova: by variable, share of what tells the best tenth from the rest (Watanabe et al.
            2023); sums to 1.
        permutation: by variable, how much of the variance that a random forest explains in
            networks it has not seen is lost when the variable is shuffled among them (Breiman
            2001), with its standard deviation.
        r2: share of their variance that the forest explains; where it is low, permutation says
            nothing.
        n: networks that it was told of.
        dropped: networks left out, since their error is not finite.
        seed: of drawing, forest and shuffling.
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
    """Return how important design variables are for the error.

    Args:
        table: one row a network.
        error: column to be minimised.
        variables: columns; numbers, or anything else that is told apart by its text. Those with
            one value are of no importance.
        seed: of forest and shuffling.

    Raises:
        AnalysisError: when a column is missing, or there are too few networks.
    """
    check_columns(table, [error, *variables])
    values = table[error].to_numpy(dtype=float)
    finite = np.isfinite(values)
    if finite.sum() < FEWEST:
        raise AnalysisError(
            f"{finite.sum()} networks have a finite {error}; importance wants {FEWEST} at least"
        )
    kept = np.flatnonzero(finite)
    if len(kept) > MOST:
        kept = np.sort(np.random.default_rng(seed).choice(kept, MOST, replace=False))
    rows, values = table.iloc[kept][list(variables)], values[kept]
    varied = [name for name in variables if rows[name].nunique(dropna=False) > 1]
    none = {name: 0.0 for name in variables if name not in varied}
    if not varied:
        nothing = dict.fromkeys(variables, (0.0, 0.0))
        return Importance(none, nothing, 0.0, len(rows), int((~finite).sum()), seed)
    codes = pd.DataFrame({name: _codes(rows[name]) for name in varied})
    lost, r2 = _permutation(codes, values, seed)
    return Importance(
        {**_ped_anova(codes, values), **none},
        {**lost, **dict.fromkeys(none, (0.0, 0.0))},
        r2,
        len(rows),
        int((~finite).sum()),
        seed,
    )


def _levels(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut numbers of many values into tenths.

    The more levels a variable has, the more PED-ANOVA finds in it by chance.
    """
    if len(np.unique(codes)) <= LEVELS:
        return codes
    inner = np.quantile(codes, np.linspace(0, 1, LEVELS + 1)[1:-1])
    return np.searchsorted(np.unique(inner), codes, side="right").astype(float)


def _codes(values: pd.Series) -> NDArray[np.float64]:
    """Return numbers as they are, anything else numbered in the order of its text.

    Missing numbers are those of blocks that a network has not; they go below all others.
    """
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=float)
        known = numbers[np.isfinite(numbers)]
        return np.where(np.isfinite(numbers), numbers, known.min() - 1 if len(known) else 0.0)
    text = ["-" if missing else str(v) for v, missing in zip(values, values.isna(), strict=True)]
    return np.unique(text, return_inverse=True)[1].astype(float)


def _ped_anova(codes: pd.DataFrame, values: NDArray[np.float64]) -> dict[str, float]:
    """Return Optuna's figures: every variable is a choice among its values, or its tenths."""
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
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=GOOD)
        )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {str(name): float(found.get(str(name), 0.0)) for name in codes}


def _permutation(
    codes: pd.DataFrame, values: NDArray[np.float64], seed: int
) -> tuple[dict[str, tuple[float, float]], float]:
    """Return the loss of R^2 by variable on a third of the networks, and the R^2 itself."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import train_test_split

    seen, unseen, known, hidden = train_test_split(
        codes, values, test_size=1 / 3, random_state=seed
    )
    forest = RandomForestRegressor(TREES, random_state=seed, min_samples_leaf=2).fit(seen, known)
    found = permutation_importance(forest, unseen, hidden, n_repeats=SHUFFLES, random_state=seed)
    pairs = zip(found.importances_mean, found.importances_std, strict=True)
    lost = {
        str(name): (float(mean), float(deviation))
        for name, (mean, deviation) in zip(codes, pairs, strict=True)
    }
    return lost, float(forest.score(unseen, hidden))


# -- latency ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearFit:
    """A sum of costs that comes nearest to a measured quantity.

    Attributes:
        target: the column that is explained.
        intercept: what stands before the sum.
        slopes: by column.
        r2: share of the variance explained.
        median_error: of the relative errors, without their signs.
        n: networks.
        dropped: networks left out, since a value is not finite.
    """

    target: str
    intercept: float
    slopes: dict[str, float]
    r2: float
    median_error: float
    n: int
    dropped: int

    def predict(self, costs: Mapping[str, Any]) -> Any:
        """Return the sum for costs by column."""
        return self.intercept + sum(slope * costs[name] for name, slope in self.slopes.items())


def linear_fit(table: pd.DataFrame, target: str, costs: Sequence[str]) -> LinearFit:
    """Fit a target as a sum of costs by least squares (Radosavovic et al. 2020, section 3.5).

    Inside one family multiply-adds tell latency well; activations tell families apart.

    Args:
        table: one row a network.
        target: column that is explained, as a latency.
        costs: columns that explain it, as multiply-adds and activations.

    Raises:
        AnalysisError: when a column is missing, or there are too few networks.
    """
    check_columns(table, [target, *costs])
    values = table[[target, *costs]].to_numpy(dtype=float)
    finite = np.isfinite(values).all(axis=1)
    measured, given = values[finite, 0], values[finite, 1:]
    if len(measured) < len(costs) + 2:
        raise AnalysisError(
            f"{len(measured)} networks are too few to fit {target} by {len(costs)} costs"
        )
    scale = np.abs(given).max(axis=0)
    scale[scale == 0] = 1.0
    design = np.column_stack([np.ones(len(measured)), given / scale])
    found, *_ = np.linalg.lstsq(design, measured)
    fitted = design @ found
    spread = float(np.square(measured - measured.mean()).sum())
    missed = float(np.square(measured - fitted).sum())
    relative = np.abs(fitted - measured) / np.maximum(np.abs(measured), 1e-30)
    slopes = dict(zip(costs, (found[1:] / scale).tolist(), strict=True))
    return LinearFit(
        target,
        float(found[0]),
        slopes,
        1 - missed / spread if spread > 0 else 0.0,
        float(np.median(relative)),
        len(measured),
        int((~finite).sum()),
    )
