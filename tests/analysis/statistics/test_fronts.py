import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.statistics.fronts import comparable, pareto_front, signs, worst_point

OBJECTIVES = {"accuracy": "max", "latency_ms": "min"}
values = st.integers(0, 8).map(float)
tables = st.lists(st.tuples(values, values), min_size=1, max_size=30).map(
    lambda rows: pd.DataFrame(rows, columns=["accuracy", "latency_ms"])
)


def beaten(row, table):
    better = (table.accuracy >= row.accuracy) & (table.latency_ms <= row.latency_ms)
    strictly = (table.accuracy > row.accuracy) | (table.latency_ms < row.latency_ms)
    return bool((better & strictly).any())


def area(table, reference):
    """Hypervolume by counting unit cells; all values are whole numbers."""
    xs = np.arange(reference["accuracy"], 10) + 0.5
    ys = np.arange(-1, reference["latency_ms"]) + 0.5
    return sum(bool(((table.accuracy > x) & (table.latency_ms < y)).any()) for x in xs for y in ys)


@given(tables)
def test_front_and_hypervolume_against_brute_force(table):
    reference = {"accuracy": -1.0, "latency_ms": 9.0}
    front = pareto_front(table, OBJECTIVES, reference)
    expected = table[[not beaten(row, table) for _, row in table.iterrows()]]
    assert sorted(front.rows.index) == sorted(expected.index)  # ties are kept
    assert front.hypervolume == area(table, reference)
    assert front.rows["latency_ms"].is_monotonic_increasing


def test_values_that_are_not_finite_are_left_out_and_counted():
    table = pd.DataFrame(
        {"accuracy": [0.9, np.nan, 0.8, np.inf, None], "latency_ms": [2.0, 1.0, np.nan, 1, 1]}
    )
    front = pareto_front(table, OBJECTIVES)
    assert (front.n, front.dropped, len(front.rows)) == (1, 4, 1)


def test_nothing_in_nothing_out():
    front = pareto_front(pd.DataFrame({"accuracy": [], "latency_ms": []}), OBJECTIVES)
    assert (front.n, len(front.rows), front.hypervolume) == (0, 0, 0.0)


def test_the_reference_point_is_kept_with_the_result():
    table = pd.DataFrame({"accuracy": [0.5, 0.9], "latency_ms": [1.0, 3.0]})
    front = pareto_front(table, OBJECTIVES)
    assert front.reference == pytest.approx({"accuracy": 0.46, "latency_ms": 3.2})
    assert front.hypervolume == pytest.approx(0.04 * 2.2 + 0.4 * 0.2)


def test_a_point_beyond_the_reference_adds_nothing():
    table = pd.DataFrame({"accuracy": [0.5, 0.9], "latency_ms": [1.0, 99.0]})
    front = pareto_front(table, OBJECTIVES, {"accuracy": 0.0, "latency_ms": 3.0})
    assert front.hypervolume == pytest.approx(0.5 * 2)
    assert len(front.rows) == 2


def test_a_missing_column_is_named():
    with pytest.raises(AnalysisError, match="no column 'latency_ms'; it has accuracy"):
        pareto_front(pd.DataFrame({"accuracy": [1.0]}), OBJECTIVES)


def test_objectives_are_turned_into_ones_to_minimize():
    assert signs(OBJECTIVES).tolist() == [-1, 1]
    table = pd.DataFrame({"accuracy": [0.5, np.nan, 0.7], "latency_ms": [1.0, 2.0, 3.0]})
    finite, points = comparable(table, OBJECTIVES)
    assert finite.tolist() == [True, False, True]
    assert points.tolist() == [[-0.5, 1], [-0.7, 3]]


def test_the_worst_point_is_a_tenth_of_the_range_beyond():
    points = np.array([[-0.5, 1.0], [-0.9, 3.0]])
    assert worst_point(points, OBJECTIVES, None) == pytest.approx([-0.46, 3.2])
    assert worst_point(points[:1], OBJECTIVES, None) - points[0] == pytest.approx([1e-8, 1e-8])
    given = {"latency_ms": 9.0, "accuracy": 0.1}
    assert worst_point(points, OBJECTIVES, given).tolist() == [-0.1, 9]


def test_a_front_is_sorted_and_keeps_ties():
    table = pd.DataFrame(
        {"accuracy": [0.9, 0.5, 0.5, 0.6, 0.9], "latency_ms": [3.0, 1.0, 1.0, 2.5, 4.0]}
    )
    front = pareto_front(table, OBJECTIVES, {"accuracy": 0.0, "latency_ms": 5.0})
    assert front.rows.index.tolist() == [1, 2, 3, 0]
    assert (front.n, front.dropped) == (5, 0)
    assert front.hypervolume == pytest.approx(0.5 * 4 + 0.1 * 2.5 + 0.3 * 2)
    assert front.reference == {"accuracy": 0.0, "latency_ms": 5.0}
    kept = pareto_front(table.head(0), OBJECTIVES, {"accuracy": 0.0, "latency_ms": 5.0})
    assert kept.reference == {"accuracy": 0.0, "latency_ms": 5.0}
    assert pareto_front(table.assign(accuracy=np.nan), OBJECTIVES).dropped == 5
