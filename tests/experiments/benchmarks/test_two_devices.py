"""What searches would deploy, from the networks of their fronts."""

import pandas as pd
import pytest

from experiments.benchmarks.two_devices import MARGINS, accuracies_within, deployed

TABLE = pd.DataFrame(
    [
        ("a", 0, 0.5, 0.51, 1.80942, 9.0),
        ("a", 0, 0.9, 0.88, 2.5, 9.0),
        ("a", 1, 0.6, 0.61, 1.5, 9.0),
        ("b", 0, 0.7, 0.72, 1.7, 9.0),
        ("b", 1, 0.8, 0.79, 1.2, 9.0),
        ("b", 1, 0.7, 0.99, 1.1, 9.0),
    ],
    columns=["searched_for", "seed", "score", "test", "a", "b"],
)


def test_every_search_has_a_network_within_the_smallest_latency():
    rows = deployed(TABLE, "a", ["a", "b"])
    assert [row["within_ms"] for row in rows] == pytest.approx(
        [1.80942 * margin for margin in MARGINS], abs=5e-4
    )
    assert rows[0]["a"] == [0.51, 0.61]
    assert rows[0]["b"] == [0.72, 0.79]  # by the score, not by the accuracy
    assert rows[1]["a"] == [0.88, 0.61]


def test_nothing_slower_is_deployed():
    assert accuracies_within(TABLE, "a", "b", 1.15) == [0.99]
