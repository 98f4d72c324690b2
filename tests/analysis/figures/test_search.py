import pandas as pd
import pytest

from analysis.figures.search import MANY, cost_figure, front_figure, history_figure
from analysis.statistics.fronts import pareto_front

OBJECTIVES = {"score": "max", "latency_ms": "min"}


@pytest.fixture
def trials():
    return pd.DataFrame(
        {
            "number": [2, 0, 1, 3],
            "score": [0.8, 0.5, 0.7, 0.6],
            "latency_ms": [9.0, 4.0, 6.0, 8.0],
            "madds": [4e8, 1e8, 3e8, 2e8],
        }
    )


@pytest.fixture
def references():
    return pd.DataFrame({"name": ["m"], "score": [0.75], "latency_ms": [7.0], "madds": [2.5e8]})


def draw(trials, references, label="validation accuracy at 36 px", is_share=True, limits=None):
    front = pareto_front(trials, OBJECTIVES)
    return front_figure(trials, references, front, label, is_share, limits or {}).axes[0]


def test_the_front_is_a_staircase_in_percent(trials, references):
    axes = draw(trials, references, limits={"latency_ms": (None, 8.5)})
    staircase, limit = axes.get_lines()
    assert staircase.get_drawstyle() == "steps-post"
    assert list(staircase.get_xdata()) == [4, 6, 9]
    assert list(staircase.get_ydata()) == pytest.approx([50, 70, 80])
    assert list(limit.get_xdata()) == [8.5, 8.5]
    assert axes.get_ylabel() == "validation accuracy at 36 px (%)"
    assert [text.get_text() for text in axes.texts] == ["trial 2", "trial 1", "trial 0", "m"]


def test_other_scores_are_not_in_percent(trials, references):
    axes = draw(trials, references, "score of naswot", is_share=False)
    assert list(axes.get_lines()[0].get_ydata()) == pytest.approx([0.5, 0.7, 0.8])
    assert axes.get_ylabel() == "score of naswot"


def test_without_references_none_is_in_the_legend(trials, references):
    labels = [text.get_text() for text in draw(trials, references.head(0)).get_legend().texts]
    assert labels == ["trial", "front"]
    axes = cost_figure(trials, references.head(0), {}).axes[0]
    assert [text.get_text() for text in axes.get_legend().texts] == ["trial"]


def test_the_best_so_far_follows_the_numbers_of_the_trials(trials):
    (axes,) = history_figure(trials, "validation accuracy", is_share=True).axes
    (best,) = axes.get_lines()
    assert list(best.get_xdata()) == [0, 1, 2, 3]
    assert list(best.get_ydata()) == pytest.approx([50, 70, 80, 80])


def test_latency_is_drawn_over_millions_of_madds(trials, references):
    limits = {"madds": (1.5e8, 3.5e8), "latency_ms": (None, 8.0)}
    (axes,) = cost_figure(trials, references, limits).axes
    points, reference = (each.get_offsets().tolist() for each in axes.collections)
    assert points == [[400, 9], [100, 4], [300, 6], [200, 8]]
    assert reference == [[250, 7]]
    low, high, slow = axes.get_lines()
    assert [low.get_xdata()[0], high.get_xdata()[0]] == pytest.approx([150, 350])
    assert slow.get_ydata()[0] == 8


@pytest.mark.parametrize(("count", "as_pixels"), [(MANY, False), (MANY + 1, True)])
def test_many_trials_are_drawn_as_pixels(count, as_pixels):
    trials = pd.DataFrame({"number": range(count), "score": 0.5})
    (axes,) = history_figure(trials, "validation accuracy", is_share=True).axes
    assert bool(axes.collections[0].get_rasterized()) is as_pixels


def test_the_names_of_close_trials_do_not_overlap(trials, references):
    twin = trials.head(1).assign(number=9, score=0.801, latency_ms=9.001)
    axes = draw(pd.concat([trials, twin], ignore_index=True), references.head(0))
    assert [text.get_text() for text in axes.texts] == ["trial 9", "trial 1", "trial 0"]


def test_a_search_without_trials_is_drawn(trials, references):
    axes = draw(trials.head(0), references)
    assert [text.get_text() for text in axes.texts] == ["m"]
