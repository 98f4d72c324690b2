import numpy as np
import pandas as pd
import pytest

from analysis.figures.ranking import ranking_figure
from analysis.statistics.ranking import ranking_card


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "score": [1.0, 2.0, 3.0, 4.0],
            "accuracy": [0.1, 0.2, 0.4, 0.3],
            "madds": [1e8, 2e8, 3e8, 4e8],
        }
    )


def test_taus_are_drawn_with_their_intervals(table):
    replicates = np.stack([table.accuracy, table.accuracy], axis=1)
    card = ranking_card(table, ["score", "madds"], replicates, repeats=20)
    scatter, taus, colorbar = ranking_figure(table, card, "short").axes
    assert scatter.get_xlabel() == "score of short"
    assert scatter.collections[0].get_offsets().tolist() == [[1, 10], [2, 20], [3, 40], [4, 30]]
    assert list(scatter.collections[0].get_array()) == [100, 200, 300, 400]
    assert colorbar.get_ylabel() == "MAdds (M)"
    names = [label.get_text() for label in taus.get_yticklabels()]
    assert names == ["the estimator", "MAdds", "one more training run"]
    bar, point = taus.get_lines()[:2]
    first = card.rankings[0].tau
    assert list(bar.get_xdata()) == [first.low, first.high]
    assert list(point.get_xdata()) == [first.value] == [pytest.approx(2 / 3)]
    assert "4 networks" in taus.get_xlabel()


def test_without_seeds_there_is_no_ceiling(table):
    card = ranking_card(table, ["score"], repeats=20)
    taus = ranking_figure(table, card, "short").axes[1]
    assert [label.get_text() for label in taus.get_yticklabels()] == ["the estimator"]
