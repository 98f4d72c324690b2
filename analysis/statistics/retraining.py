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

from analysis.schema import HITS
from analysis.statistics.intervals import LEVEL, difference_interval, paired_interval


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
        value: Mean accuracy of the best network minus that of the reference, as a share; NaN if
            either has no test accuracy.
        low: Lower end of the 95% interval; -inf if either network was trained only once.
        high: Upper end of the interval; inf in that case.
        paired: Whether the two were compared image by image.
    """

    name: str
    value: float
    low: float
    high: float
    paired: bool

    @property
    def smallest_lead(self) -> float:
        """Smallest lead that would have been significant, as a share; inf or NaN if unknown."""
        return (self.high - self.low) / 2

    @property
    def verdict(self) -> str:
        """Whether the best network is better, worse, or not significantly different."""
        if math.isnan(self.value):
            return "not known: a network has no test accuracy"
        if math.isinf(self.low):
            return "significance unknown after one training run"
        if self.low > 0:
            return "better"
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
    return sorted(networks, key=_validation_last)


def _validation_last(row: RetrainedNetwork) -> float:
    """Sort the highest validation accuracy first, and networks without one last."""
    return math.inf if math.isnan(row.validation) else -row.validation


def differences(table: pd.DataFrame, best: str) -> list[AccuracyDifference]:
    """Compare the best network with the references.

    An interval covers two kinds of noise, that of training and that of the test images. Networks
    are judged on the same images, and what makes an image hard for one makes it hard for others;
    where it is recorded which images each training run classified correctly, networks are therefore
    compared image by image (`paired_interval`). Otherwise the images are treated as if each network
    had its own, which makes the interval about twice as wide: Welch's t over training runs, and a
    binomial variance of the images.

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
    runs, others = (_runs(table, network) for network in (winner, reference))
    fewest = min(len(runs), len(others))
    if fewest == 0:
        return AccuracyDifference(reference.name, math.nan, math.nan, math.nan, paired=False)
    if fewest == 1:
        return AccuracyDifference(reference.name, value, -math.inf, math.inf, paired=False)
    one, other = _hits(runs), _hits(others)
    if one is not None and other is not None and one.shape[1] == other.shape[1] > 1:
        return AccuracyDifference(reference.name, value, *paired_interval(one, other), paired=True)
    low, high = _independent_interval(runs, others, value)
    return AccuracyDifference(reference.name, value, low, high, paired=False)


def _independent_interval(
    one: pd.DataFrame, other: pd.DataFrame, value: float
) -> tuple[float, float]:
    """Return the interval of a difference as if each network had test images of its own."""
    samples = [rows["test"].to_numpy(dtype=np.float64) for rows in (one, other)]
    low, high = difference_interval(*samples)
    images = int(one["test_images"].iloc[0])
    variance = sum(float(p.mean() * (1 - p.mean())) / images for p in samples)
    # The images' variance is known, so its part of the interval is normal.
    reach = math.hypot((high - low) / 2, float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(variance))
    return value - reach, value + reach


def _runs(table: pd.DataFrame, network: RetrainedNetwork) -> pd.DataFrame:
    """Return the training runs of a network that have a test accuracy."""
    rows = (table["kind"] == network.kind) & (table["name"].astype(str) == network.name)
    return table[rows & table["test"].notna()]


def _hits(rows: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Return which images training runs classified correctly, (runs, images); None if unknown."""
    if HITS not in rows:
        return None
    hits = rows[HITS].tolist()
    same = all(isinstance(each, np.ndarray) and len(each) == len(hits[0]) for each in hits)
    return np.stack(hits) if same else None


def confirmed_rows(table: pd.DataFrame, best: str) -> list[dict[str, str]]:
    """Return a table of retrained networks as text, with differences in percentage points.

    Args:
        table: Training runs; see `confirmed`.
        best: Name of the network that the search selected.
    """
    by_name = {difference.name: difference for difference in differences(table, best)}
    rows = []
    for row in confirmed(table):
        difference, smallest, verdict = _difference_texts(by_name.get(row.name))
        rows.append(
            {
                "name": row.name,
                "kind": "best" if (row.kind, row.name) == ("front", best) else row.kind,
                "validation": _spread_text(row.validation, row.validation_std),
                "test": _spread_text(row.test, row.test_std),
                "difference": difference,
                "smallest_lead": smallest,
                "verdict": verdict,
            }
        )
    return rows


def _spread_text(mean: float, deviation: float) -> str:
    """Return a mean accuracy and its standard deviation over seeds as text, in percent."""
    if math.isnan(mean):
        return "-"
    if math.isnan(deviation):
        return f"{100 * mean:.2f}%"
    return f"{100 * mean:.2f}% \u00b1 {100 * deviation:.2f}"


def _difference_texts(difference: AccuracyDifference | None) -> tuple[str, str, str]:
    """Return a difference with its interval, the smallest lead, and the verdict.

    Numbers are percentage points.
    """
    if difference is None:
        return "", "", ""
    if math.isnan(difference.value):
        return "-", "-", difference.verdict
    text = f"{100 * difference.value:+.2f}"
    if math.isinf(difference.low):
        return text, "-", difference.verdict
    text += f" ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"
    return text, f"{100 * difference.smallest_lead:.2f}", difference.verdict


def comparison_note(table: pd.DataFrame, best: str) -> str:
    """Say in a sentence what the intervals of the differences rest on; empty without any.

    Args:
        table: Training runs; see `confirmed`.
        best: Name of the network that the search selected.
    """
    found = [each for each in differences(table, best) if math.isfinite(each.low)]
    if not found:
        return ""
    how = (
        "networks are compared image by image"
        if all(each.paired for each in found)
        else "which images each network classified correctly is not recorded for all of them, so "
        "the images of two networks are treated as independent, which hides small leads"
    )
    return f"The intervals include the noise of training and of the test images; {how}."
