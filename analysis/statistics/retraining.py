"""Comparison of the best network with references after retraining with several seeds.

Retraining uses more epochs than the search, and the test split, which no decision has used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from analysis.statistics.intervals import LEVEL, difference_interval


@dataclass(frozen=True)
class RetrainedNetwork:
    """A network that was retrained.

    Attributes:
        name: Name of the network.
        kind: ``front`` or ``reference``.
        n: Training runs.
        validation: Mean accuracy on the validation split, as a share.
        validation_std: Standard deviation over seeds (n - 1); NaN for a single run.
        test: Mean accuracy on the test split, as a share.
        test_std: Standard deviation over seeds (n - 1); NaN for a single run.
    """

    name: str
    kind: str
    n: int
    validation: float
    validation_std: float
    test: float
    test_std: float


@dataclass(frozen=True)
class AccuracyDifference:
    """Difference of test accuracy between the best network and a reference.

    Attributes:
        name: Name of the reference.
        value: Mean accuracy of the best network minus that of the reference, as a share.
        low: Lower end of the 95% interval; -inf if either network was trained only once.
        high: Upper end of the interval; inf in that case.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether the best network is better, worse, or not significantly different."""
        if self.low > 0:
            return "better"
        if math.isinf(self.low):
            return "significance unknown after one training run"
        return "worse" if self.high < 0 else "no significant difference"


def confirmed(table: pd.DataFrame) -> list[RetrainedNetwork]:
    """Return the mean accuracies of retrained networks, highest validation accuracy first.

    Args:
        table: One row per training run, with `RETRAINING_COLUMNS`; accuracies are shares.
    """
    networks = []
    for (name, kind), rows in table.groupby(["name", "kind"], sort=False):
        networks.append(
            RetrainedNetwork(
                name=str(name),
                kind=str(kind),
                n=len(rows),
                validation=float(rows["validation"].mean()),
                validation_std=float(rows["validation"].std(ddof=1)),
                test=float(rows["test"].mean()),
                test_std=float(rows["test"].std(ddof=1)),
            )
        )
    return sorted(networks, key=lambda row: -row.validation)


def differences(table: pd.DataFrame, best: str) -> list[AccuracyDifference]:
    """Compare the best network with the references.

    An interval covers two kinds of noise: that of training (Welch's t over seeds), and that of the
    test images (binomial). The latter treats the errors of the two networks as independent, which
    makes the interval somewhat too wide.

    Args:
        table: Training runs; see `confirmed`.
        best: Name of the network that the search selected.

    Returns:
        One difference per reference; none if the best network was not retrained.
    """
    networks = confirmed(table)
    winner = next((row for row in networks if (row.kind, row.name) == ("front", best)), None)
    if winner is None:
        return []
    return [_difference(winner, row, table) for row in networks if row.kind == "reference"]


def _difference(
    winner: RetrainedNetwork, reference: RetrainedNetwork, table: pd.DataFrame
) -> AccuracyDifference:
    value = winner.test - reference.test
    samples = [_test_accuracies(table, network) for network in (winner, reference)]
    if min(len(accuracies) for accuracies in samples) < 2:
        return AccuracyDifference(reference.name, value, -math.inf, math.inf)
    low, high = difference_interval(*samples)
    test_images = int(table["test_images"].iloc[0])
    variance = sum(p * (1 - p) / test_images for p in (winner.test, reference.test))
    # The images' variance is known, so its part of the interval is normal.
    reach = math.hypot((high - low) / 2, float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(variance))
    return AccuracyDifference(reference.name, value, value - reach, value + reach)


def _test_accuracies(table: pd.DataFrame, network: RetrainedNetwork) -> NDArray[np.float64]:
    """Return the test accuracies of a network's training runs, (runs,)."""
    rows = (table["kind"] == network.kind) & (table["name"].astype(str) == network.name)
    return table.loc[rows, "test"].dropna().to_numpy(dtype=np.float64)


def confirmed_rows(table: pd.DataFrame, best: str) -> list[dict[str, str]]:
    """Return a table of retrained networks as text, with differences from the best in percent.

    Args:
        table: Training runs; see `confirmed`.
        best: Name of the network that the search selected.
    """
    by_name = {difference.name: difference for difference in differences(table, best)}
    rows = []
    for row in confirmed(table):
        difference, verdict = _difference_texts(by_name.get(row.name))
        rows.append(
            {
                "name": row.name,
                "kind": "best" if (row.kind, row.name) == ("front", best) else row.kind,
                "validation": _spread_text(row.validation, row.validation_std),
                "test": _spread_text(row.test, row.test_std),
                "difference": difference,
                "verdict": verdict,
            }
        )
    return rows


def _spread_text(mean: float, deviation: float) -> str:
    """Return a mean accuracy and its standard deviation over seeds as text, in percent."""
    if math.isnan(deviation):
        return f"{100 * mean:.2f}"
    return f"{100 * mean:.2f} +- {100 * deviation:.2f}"


def _difference_texts(difference: AccuracyDifference | None) -> tuple[str, str]:
    """Return a difference with its interval in percentage points, and its verdict."""
    if difference is None:
        return "", ""
    text = f"{100 * difference.value:+.2f}"
    if not math.isinf(difference.low):
        text += f" ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"
    return text, difference.verdict
