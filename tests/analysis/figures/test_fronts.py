from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.figures.fronts import (
    attainment_figure,
    baselines_figure,
    fronts_figure,
    progress_figure,
)
from analysis.read.population import ReadOptions, read_populations
from analysis.statistics.comparison import compare
from analysis.statistics.published import best_published


def searches(tmp_path, number, **columns):
    """Random networks of several searches, as populations."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(number):
        cost = rng.random(40)
        rows = pd.DataFrame(
            {
                "accuracy": 0.5 + 0.3 * cost + 0.05 * rng.standard_normal(40),
                "latency_ms": 1 + 9 * cost,
                "madds": 1e8 + 3e8 * cost,
                **columns,
            }
        )
        paths.append(str(tmp_path / f"seed{i}.csv"))
        rows.to_csv(paths[-1], index=False)
    return read_populations(paths, ReadOptions())


def test_the_staircase_bounds_the_dominated_region(tmp_path):
    comparison = compare(searches(tmp_path, 1))
    (line,) = fronts_figure(comparison).axes[0].get_lines()
    xs, ys = line.get_data()
    rows = comparison.searches[0].front.rows.sort_values("latency_ms")
    for latency in np.linspace(rows.latency_ms.min(), rows.latency_ms.max(), 50)[1:-1]:
        best = rows.loc[rows.latency_ms <= latency, "accuracy"].max()
        drawn = ys[np.searchsorted(xs, latency, side="right") - 1]
        assert drawn == pytest.approx(100 * best)


def test_the_knee_is_circled_and_the_axes_have_units(tmp_path):
    comparison = compare(searches(tmp_path, 2))
    (axes,) = fronts_figure(comparison).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latency (ms)", "accuracy (%)")
    circles = [each for each in axes.collections if each.get_sizes()[0] == 90]
    knees = [search.front.rows.iloc[search.knee] for search in comparison.searches]
    drawn = [circle.get_offsets()[0].tolist() for circle in circles]
    assert drawn == [pytest.approx([row.latency_ms, 100 * row.accuracy]) for row in knees]


def test_three_objectives_have_no_plane(tmp_path):
    paths = [str(tmp_path / f"seed{i}.csv") for i in range(3)]
    searches(tmp_path, 3)
    options = ReadOptions(costs=("latency_ms", "madds"))
    comparison = compare(read_populations(paths, options))
    assert fronts_figure(comparison) is None
    assert attainment_figure(comparison) is None


def test_the_band_lies_between_the_quartile_surfaces(tmp_path):
    comparison = compare(searches(tmp_path, 4))
    (axes,) = attainment_figure(comparison).axes
    (median,) = axes.get_lines()
    surfaces = comparison.attained.surfaces
    assert set(median.get_xdata()) == set(surfaces[50].latency_ms)
    assert max(median.get_ydata()) == pytest.approx(100 * surfaces[50].accuracy.max())
    corners = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert corners[:, 1].max() == pytest.approx(100 * surfaces[25].accuracy.max())
    start = max(surfaces[share].latency_ms.min() for share in (25, 75))
    assert corners[:, 0].min() == pytest.approx(start)  # where all quartiles have a value


def test_progress_is_drawn_over_seconds_only_if_all_searches_have_them(tmp_path):
    untimed = progress_figure(compare(searches(tmp_path, 2)))
    assert [axes.get_xlabel() for axes in untimed.axes] == ["networks evaluated"]
    comparison = compare(searches(tmp_path, 2, seconds=2.0))
    evaluations, seconds = progress_figure(comparison).axes
    assert seconds.get_xlabel() == "evaluation time (s)"
    for axes, last in ((evaluations, 40), (seconds, 80)):
        for line, search in zip(axes.get_lines(), comparison.searches, strict=True):
            assert line.get_xdata()[-1] == last
            assert line.get_ydata()[-1] == pytest.approx(search.front.hypervolume)


def test_published_networks_have_axes_of_their_own(tmp_path):
    published = best_published(1e8, 4e8)
    population = searches(tmp_path, 1)
    own, others = baselines_figure(population, published).axes
    assert own.get_ylabel() == "accuracy (%)"
    assert "ImageNet" in others.get_ylabel()
    points = others.collections[0].get_offsets()
    assert points[:, 0].tolist() == pytest.approx((published.madds / 1e6).tolist())
    names = [text.get_text() for text in others.texts]
    assert published.sort_values("top1")["name"].iloc[-1] in names


def test_names_that_would_overlap_are_left_out(tmp_path):
    published = pd.DataFrame(
        {"name": ["low", "twin", "high"], "madds": [1e8, 3.9e8, 4e8], "top1": [70, 79.9, 80]}
    )
    _, others = baselines_figure(searches(tmp_path, 1), published).axes
    assert sorted(text.get_text() for text in others.texts) == ["high", "low"]


def test_names_with_underscores_are_in_every_legend(tmp_path):
    populations = [
        replace(population, name=f"_{population.name}") for population in searches(tmp_path, 3)
    ]
    comparison = compare(populations)
    (fronts,) = fronts_figure(comparison).axes
    progress = progress_figure(comparison).axes[0]
    own, _ = baselines_figure(populations, best_published(1e8, 4e8)).axes
    for axes in (fronts, progress, own):
        names = [text.get_text().strip() for text in axes.get_legend().texts]
        assert [name.partition(":")[0] for name in names] == ["_seed0", "_seed1", "_seed2"]


def test_a_caution_is_the_title(tmp_path):
    populations = [
        replace(population, about={"scores": {"weights": number}})
        for number, population in enumerate(searches(tmp_path, 2))
    ]
    (axes,) = fronts_figure(compare(populations)).axes
    assert axes.get_title("left") == "different scores: weights 0 or 1"


def test_scores_that_are_no_shares_are_not_in_percent(tmp_path):
    (population,) = searches(tmp_path, 1)
    likelihood = replace(population, label="less accuracy")
    (axes,) = fronts_figure(compare([likelihood])).axes
    assert axes.get_ylabel() == "accuracy"
