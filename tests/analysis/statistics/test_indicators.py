"""Indicators of fronts against brute force, on inputs that are odd on purpose."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.errors import AnalysisError
from analysis.statistics.fronts import pareto_front
from analysis.statistics.indicators import attainment, distance, knee, progress, ranks

BOTH = {"accuracy": "max", "latency": "min"}
VALUES = st.sampled_from([0.0, 1.0, 2.0, 2.0, 3.0, 5.0, math.nan, math.inf, -math.inf])
points = arrays(float, st.tuples(st.integers(0, 14), st.just(2)), elements=VALUES)


def table(values, **columns):
    return pd.DataFrame(np.reshape(values, (-1, 2)), columns=list(BOTH)).assign(**columns)


def dominates(one, other):
    """In accuracy and latency: nowhere worse, somewhere better."""
    no_worse = one[0] >= other[0] and one[1] <= other[1]
    return no_worse and (one[0] > other[0] or one[1] < other[1])


def area(found, reference):
    """What points dominate within a reference point, cell by cell of the grid they span."""
    xs = sorted({reference[0], *(max(p[0], reference[0]) for p in found)})
    ys = sorted({reference[1], *(min(p[1], reference[1]) for p in found)})
    total = 0.0
    for (x0, x1), (y0, y1) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)):
        if any(p[0] >= x1 and p[1] <= y0 for p in found):
            total += (x1 - x0) * (y1 - y0)
    return total


@given(points)
def test_ranks_are_found_by_peeling(values):
    found = ranks(table(values), BOTH)
    left = {i for i, point in enumerate(values) if np.isfinite(point).all()}
    assert found.isna().tolist() == [i not in left for i in range(len(values))]
    for rank in itertools.count():
        if not left:
            break
        best = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        assert {i for i in left if found.iloc[i] == rank} == best
        left -= best


def test_rows_with_one_index_are_told_apart():
    rows = table([[1, 1], [0, 2], [math.nan, 1]])
    rows.index = [7, 7, 7]
    assert ranks(rows, BOTH).tolist() == [0, 1, pd.NA]
    assert progress(rows, BOTH).table["hypervolume"].is_monotonic_increasing


# -- over time ------------------------------------------------------------------------------


@given(points)
def test_progress_is_the_hypervolume_of_every_beginning(values):
    reference = {"accuracy": 0.5, "latency": 3.5}  # some points lie beyond it
    found = progress(table(values), BOTH, reference)
    expected = [
        area([p for p in values[:k] if np.isfinite(p).all()], (0.5, 3.5))
        for k in range(1, len(values) + 1)
    ]
    np.testing.assert_allclose(found.table["hypervolume"], expected)
    assert found.table["evaluations"].tolist() == list(range(1, len(values) + 1))
    assert found.dropped == (~np.isfinite(values).all(axis=1)).sum()


@given(points)
def test_progress_ends_with_the_fronts_hypervolume(values):
    found, front = progress(table(values), BOTH), pareto_front(table(values), BOTH)
    assert found.reference == front.reference
    if len(values):
        assert found.table["hypervolume"].iloc[-1] == pytest.approx(front.hypervolume)


def test_seconds_add_up():
    rows = table([[1, 1], [math.nan, 1], [2, 1]], took=[2.0, 3.0, 4.0])
    found = progress(rows, BOTH, seconds="took").table
    assert found["seconds"].tolist() == [2, 5, 9]
    with pytest.raises(AnalysisError, match="no column 'hours'"):
        progress(rows, BOTH, seconds="hours")
    with pytest.raises(AnalysisError, match="must hold numbers"):
        progress(rows.assign(took="long"), BOTH, seconds="took")


# -- against another front ------------------------------------------------------------------


@given(points, points)
def test_distances_are_those_of_their_definitions(values, others):
    one, other = (v[np.isfinite(v).all(axis=1)] for v in (values, others))
    if not len(one) or not len(other):
        with pytest.raises(AnalysisError, match="no row whose objectives are all finite"):
            distance(table(values), table(others), BOTH)
        return
    found = distance(table(values), table(others), BOTH)
    front = np.unique([p for p in other if not any(dominates(q, p) for q in other)], axis=0)
    span = np.ptp(front, axis=0)
    span[span == 0] = 1
    behind = ((front[None] - one[:, None]) * [1, -1]) / span  # > 0 where the front is better
    assert found.epsilon == pytest.approx(behind.max(axis=2).min(axis=0).max())
    gaps = np.sqrt(np.square(np.maximum(behind, 0)).sum(axis=2)).min(axis=0)
    assert found.igd_plus == pytest.approx(gaps.mean())
    assert found.dropped == len(values) + len(others) - len(one) - len(other)


def test_a_front_is_no_distance_from_itself():
    rows = table([[1, 1], [2, 2], [3, 4], [0, 9]])
    assert distance(rows, rows, BOTH).epsilon == 0
    assert distance(rows, rows, BOTH).igd_plus == 0
    better = rows.assign(accuracy=rows["accuracy"] + 2, latency=rows["latency"] - 1)
    assert distance(better, rows, BOTH).epsilon < 0


# -- over seeds -----------------------------------------------------------------------------


@given(
    st.lists(arrays(float, (3, 2), elements=st.integers(0, 6).map(float)), min_size=1, max_size=5)
)
def test_a_surface_is_what_so_many_runs_attain(runs):
    found = attainment([table(values) for values in runs], BOTH, (25, 50, 100))
    assert (found.runs, found.dropped) == (len(runs), 0)
    for percentile, corners in found.surfaces.items():
        wanted = math.ceil(len(runs) * percentile / 100)
        for accuracy, latency in itertools.product(range(7), range(7)):
            attaining = sum(
                any(p[0] >= accuracy and p[1] <= latency for p in values) for values in runs
            )
            inside = any(p[0] >= accuracy and p[1] <= latency for p in corners.to_numpy())
            assert inside == (attaining >= wanted), (percentile, accuracy, latency)


def test_a_surface_wants_runs_of_two_objectives():
    with pytest.raises(AnalysisError, match="two objectives, not 1"):
        attainment([table([[1, 1]])], {"latency": "min"})
    for runs in ([], [table([[1, 1]]), table([[math.nan, 1]])]):
        with pytest.raises(AnalysisError, match="every run needs a row"):
            attainment(runs, BOTH)


# -- the knee -------------------------------------------------------------------------------


def test_the_knee_is_farthest_beyond_the_line_between_the_ends():
    front = table([[0.5, 1], [0.9, 2], [0.93, 5], [0.95, 10]])
    assert knee(front, BOTH) == 1
    assert knee(front.iloc[::-1], BOTH) == 2
    hollow = table([[0.5, 1], [0.55, 5], [0.95, 10]])  # below the line
    straight = table([[0, 0], [1, 1], [2, 2]])
    assert knee(hollow, BOTH) is knee(straight, BOTH) is None
    assert knee(table([[1, 1], [1, 1], [2, 2]]), BOTH) is None
    with pytest.raises(AnalysisError, match="two objectives, not 1"):
        knee(front, {"latency": "min"})
    with pytest.raises(AnalysisError, match="must have finite objectives"):
        knee(table([[1, math.nan]]), BOTH)


def test_of_equal_knees_the_faster_is_taken():
    # Scaled: (0, 0), (0.2, 0.6), (0.5, 0.9), (1, 1): both are 0.4 beyond the line.
    assert knee(table([[0, 0], [6, 2], [9, 5], [10, 10]]), BOTH) == 1
    assert knee(table([[0, 0], [6, 2], [9.1, 5], [10, 10]]), BOTH) == 2
    assert knee(table([[0, 0], [6.1, 2], [9, 5], [10, 10]]), BOTH) == 1


def test_a_knee_is_beyond_the_line_by_more_than_rounding():
    assert knee(table([[0, 0], [5.0 + 1e-10, 5], [10, 10]]), BOTH) is None
    assert knee(table([[0, 0], [5.001, 5], [10, 10]]), BOTH) == 1


# -- fixed numbers --------------------------------------------------------------------------


def test_ranks_of_five_networks():
    rows = table([[3, 3], [2, 1], [2, 4], [1, 2], [0, 9]])
    assert ranks(rows, BOTH).tolist() == [0, 0, 1, 1, 2]
    assert ranks(rows, BOTH).name == "rank"


def test_progress_by_hand():
    rows = table([[1, 3], [math.nan, 1], [2, 3], [1, 1]], took=[1.0, math.nan, 2.5, 4])
    found = progress(rows, BOTH, {"accuracy": 0, "latency": 4}, "took")
    assert found.table.to_dict("list") == {
        "evaluations": [1, 2, 3, 4],
        "hypervolume": [1, 1, 2, 4],
        "seconds": [1, 1, 3.5, 7.5],
    }
    assert (found.reference, found.dropped) == ({"accuracy": 0, "latency": 4}, 1)


@pytest.mark.parametrize("better", [1_023, 1_024, 1_025, 2_048])
def test_progress_of_many_networks_is_the_same_wherever_chunks_begin(better):
    values = np.tile([[1.0, 3.0]], (2_100, 1))
    values[better] = [2, 2]
    found = progress(table(values), BOTH, {"accuracy": 0, "latency": 4}).table["hypervolume"]
    assert set(found[:better]) == {1}
    assert set(found[better:]) == {4}


def test_distances_by_hand():
    target = table([[1, 0], [3, 2], [5, 10], [2, 9]])  # the last one is dominated
    found = distance(table([[2, 1], [4, 6], [0, 12]]), target, BOTH)
    # Target, scaled, to minimize: (1, 0), (0.5, 0.2), (0, 1); the front: (0.75, 0.1), (0.25, 0.6).
    assert found.epsilon == pytest.approx(0.25)
    gaps = [0.1, 0.25, 0.25]
    assert found.igd_plus == pytest.approx(sum(gaps) / 3)
    assert found.dropped == 0


def test_an_objective_that_does_not_vary_is_not_scaled():
    found = distance(table([[1, 3]]), table([[2, 3]]), BOTH)
    assert (found.epsilon, found.igd_plus) == (1, 1)


def test_quartile_surfaces_by_hand():
    runs = [table([[k, k]]) for k in (1.0, 2, 3, 4)]
    found = attainment(runs, BOTH)
    assert list(found.surfaces) == [25, 50, 75]
    # Accuracy 4 costs 4 ms, attained by one run of four; latency 1 ms has accuracy 1.
    corners = {share: rows.to_numpy().tolist() for share, rows in found.surfaces.items()}
    assert corners[25] == [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert corners[50] == [[1, 2], [2, 3], [3, 4]]
    assert corners[75] == [[1, 3], [2, 4]]
    assert attainment([table([[1, 1], [math.nan, 2]])] * 2, BOTH).dropped == 2
