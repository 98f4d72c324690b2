"""What retraining with several seeds says of the networks that a search would show first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

LEVEL = 0.95
RETRAINING_COLUMNS = ("name", "kind", "seed", "validation", "test", "test_images", "seconds")


@dataclass(frozen=True)
class RetrainedNetwork:
    """A network that was retrained.

    Attributes:
        name: of the network.
        kind: ``front`` or ``reference``.
        n: trainings.
        validation: mean accuracy on the validation part.
        validation_std: its standard deviation over seeds (n - 1); NaN for one.
        test: mean accuracy on the test part.
        test_std: its standard deviation over seeds.
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
    """How much more accurate the winner is than a reference, on the test part.

    Attributes:
        name: of the reference.
        value: the winner's mean less the reference's.
        low: lower end of the 95% interval.
        high: upper end.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Say whether the difference is beyond noise."""
        if self.low > 0:
            return "better"
        if math.isinf(self.low):
            return "one training shows no noise"
        return "worse" if self.high < 0 else "no difference beyond noise"


def confirmed(table: pd.DataFrame) -> list[RetrainedNetwork]:
    """Summarise retrainings, the most accurate in validation first.

    Args:
        table: one row a training, with the columns `RETRAINING_COLUMNS`; accuracies are shares.
    """
    found = []
    for (name, kind), rows in table.groupby(["name", "kind"], sort=False):
        spread = [float(rows[part].std(ddof=1)) for part in ("validation", "test")]
        means = [float(rows[part].mean()) for part in ("validation", "test")]
        found.append(
            RetrainedNetwork(
                str(name), str(kind), len(rows), means[0], spread[0], means[1], spread[1]
            )
        )
    return sorted(found, key=lambda row: -row.validation)


def differences(table: pd.DataFrame, best: str) -> list[AccuracyDifference]:
    """Compare the best network with the references; nothing where it was not retrained.

    An interval holds two kinds of noise: that of training (Welch's t over seeds), and that of
    the test images, as if the two networks erred independently, which makes it rather too wide.

    Args:
        table: see `confirmed`.
        best: name of the network that the search ends with.
    """
    rows = confirmed(table)
    winner = next((row for row in rows if (row.kind, row.name) == ("front", best)), None)
    if winner is None:
        return []
    images = int(table["test_images"].iloc[0])
    return [_difference(winner, row, images) for row in rows if row.kind == "reference"]


def _difference(
    one: RetrainedNetwork, other: RetrainedNetwork, test_images: int
) -> AccuracyDifference:
    value = one.test - other.test
    if min(one.n, other.n) < 2:
        return AccuracyDifference(other.name, value, -math.inf, math.inf)
    seeds = np.array([one.test_std**2 / one.n, other.test_std**2 / other.n])
    degrees = seeds.sum() ** 2 / max((seeds**2 / (np.array([one.n, other.n]) - 1)).sum(), 1e-30)
    images = sum(p * (1 - p) / test_images for p in (one.test, other.test))
    tail = float(student.ppf((1 + LEVEL) / 2, max(degrees, 1.0)))
    # The images' part is known to be normal; the seeds' is estimated from a few.
    reach = math.sqrt(tail**2 * float(seeds.sum()) + 1.96**2 * images)
    return AccuracyDifference(other.name, value, value - reach, value + reach)


def confirmed_rows(table: pd.DataFrame, best: str) -> list[dict[str, str]]:
    """Return the cells of a table of retrained networks, as text; see `differences`."""
    against = {row.name: row for row in differences(table, best)}
    rows = []
    for row in confirmed(table):
        apart, verdict = _difference_texts(against.get(row.name))
        rows.append(
            {
                "name": row.name,
                "kind": "best" if (row.kind, row.name) == ("front", best) else row.kind,
                "validation": _spread_text(row.validation, row.validation_std),
                "test": _spread_text(row.test, row.test_std),
                "difference": apart,
                "verdict": verdict,
            }
        )
    return rows


def _spread_text(mean: float, deviation: float) -> str:
    """Write a mean accuracy and its standard deviation over seeds."""
    if math.isnan(deviation):
        return f"{100 * mean:.2f}"
    return f"{100 * mean:.2f} +- {100 * deviation:.2f}"


def _difference_texts(found: AccuracyDifference | None) -> tuple[str, str]:
    """Write a difference with its interval, and what it means."""
    if found is None:
        return "", ""
    if math.isinf(found.low):
        return f"{100 * found.value:+.2f}", found.verdict
    span = f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    return span, found.verdict
