"""What is drawn of populations is what was computed of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.figures.population import (
    edf_figure,
    efficiency_figure,
    population_figures,
    trend_figure,
)
from analysis.figures.style import save_all
from analysis.read.population import ReadOptions, read_population
from analysis.statistics.population_card import cards


@pytest.fixture
def chain(tmp_path):
    """Spaces of networks that are best at depth 8; every space has the deeper half of the last."""
    rng = np.random.default_rng(0)
    found = []
    for least in (1, 4, 6):
        depth = rng.integers(least, 11, 300)
        error = 0.1 + 0.02 * np.abs(depth - 8) + 0.002 * rng.random(300)
        path = tmp_path / f"from_{least}.csv"
        pd.DataFrame({"x.depth": depth, "error": error}).to_csv(path, index=False)
        found.append(read_population(str(path), ReadOptions()))
    return cards(found)


def test_trends_are_the_best_values_along_the_chain(chain):
    (axes,) = trend_figure(chain).axes
    (line,) = axes.get_lines()
    assert list(line.get_ydata()) == [card.best["x.depth"].median for card in chain] == [8, 8, 8]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["from_1", "from_4", "from_6"]
    whole = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (whole.min(), whole.max()) == (1, 10)
    assert trend_figure(chain[:1]) is None


def test_distributions_are_drawn_as_steps_in_percent(chain):
    (axes,) = edf_figure({card.population.name: card.edf for card in chain}, "error").axes
    for line, card in zip(axes.get_lines(), chain, strict=True):
        assert line.get_drawstyle() == "steps-post"
        assert line.get_xdata()[0] == pytest.approx(100 * card.edf.best)
        assert line.get_xdata()[-1] == pytest.approx(100 * card.edf.errors[-1])
        assert (line.get_ydata()[0], line.get_ydata()[-1]) == (0, 1)


def test_scores_are_drawn_as_scores(chain):
    (axes,) = edf_figure({"one": chain[0].edf}, "less reward").axes
    assert axes.get_xlabel() == "reward"
    assert axes.get_ylabel() == "share of networks at or above this score"
    assert axes.get_lines()[0].get_xdata().max() == pytest.approx(-chain[0].edf.best)


def test_random_search_is_drawn_for_every_space(chain):
    (axes,) = efficiency_figure(chain).axes
    for line, card in zip(axes.get_lines(), chain, strict=True):
        assert line.get_ydata() == pytest.approx(100 * card.efficiency.mean)
        assert (np.diff(line.get_ydata()) <= 1e-12).all()


def test_names_with_underscores_are_in_every_legend(chain):
    distributions = {f"_{card.population.name}": card.edf for card in chain}
    (axes,) = edf_figure(distributions, "error").axes
    names = [text.get_text().strip() for text in axes.get_legend().texts]
    assert [name.partition(":")[0] for name in names] == ["_from_1", "_from_4", "_from_6"]
    renamed = [
        replace(card, population=replace(card.population, name=f"_{card.population.name}"))
        for card in chain
    ]
    (axes,) = efficiency_figure(renamed).axes
    names = [text.get_text().strip() for text in axes.get_legend().texts]
    assert names == ["_from_1", "_from_4", "_from_6"]


def test_odd_columns_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "networks.parquet"
    pd.DataFrame(
        {
            "x.flag": rng.random(40) < 0.5,
            "x.count": pd.array([pd.NA, *range(39)], dtype="Int64"),
            "x.none": pd.Series([pd.NA] * 40, dtype=object),
            "x.op": rng.choice(["a$b$", "_c"], 40),
            "madds": "many",
            "architecture": "ir_k3_c8",
            "error": rng.random(40),
        }
    ).to_parquet(path)
    (card,) = cards([read_population(str(path), ReadOptions())])
    assert set(card.best) == {"x.flag", "x.count"}
    assert set(card.choices) == {"x.op"}
    drawn = population_figures([card])
    assert len(save_all(drawn, tmp_path / "figures")) == 2 * len(drawn)
