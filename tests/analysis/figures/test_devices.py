import pandas as pd
import pytest

from analysis.figures.devices import devices_figure

TABLE = pd.DataFrame(
    {
        "score": [0.5, 0.7, 0.6],
        "latency_ms@a": [1.0, 2.0, 4.0],
        "latency_ms@b": [2.0, 6.0, None],
    }
)


def test_latencies_are_drawn_against_each_other_with_limits():
    bounds = ((None, 3.0), (1.0, None))
    figure = devices_figure(TABLE, TABLE.head(1), ("a", "b"), "accuracy", True, bounds)
    axes = figure.axes[0]
    trials, joint = axes.collections
    assert trials.get_offsets().tolist() == [[1.0, 2.0], [2.0, 6.0]]
    assert trials.get_array().tolist() == pytest.approx([50.0, 70.0])
    assert joint.get_offsets().tolist() == [[1.0, 2.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latency on a (ms)", "latency on b (ms)")
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels == ["front of all devices", "2.50 times as long (median)", "limit"]


def test_a_search_without_results_is_an_empty_figure():
    empty = TABLE.head(0)
    axes = devices_figure(empty, empty, ("a", "b"), "score of naswot", False).axes[0]
    assert [text.get_text() for text in axes.get_legend().texts] == ["front of all devices"]
