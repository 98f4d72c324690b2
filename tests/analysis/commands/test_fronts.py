from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from analysis.commands.fronts import figures, fronts, parse_reference, show
from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions, read_populations
from analysis.statistics.comparison import compare
from tests.analysis.searches import searches


def test_a_reference_point_can_be_given(tmp_path):
    populations = read_populations(searches(tmp_path, 1))
    point = parse_reference("accuracy=0.4, latency_ms=12")
    assert compare(populations, point).reference == {"accuracy": 0.4, "latency_ms": 12}
    assert parse_reference("accuracy=40%,latency_ms=12") == point
    for text in ("accuracy", "accuracy=high"):
        with pytest.raises(AnalysisError, match="is not part of a reference point"):
            parse_reference(text)


def test_figures_are_drawn_for_what_is_there(tmp_path):
    paths = searches(tmp_path, 3)
    several = figures(fronts(read_populations(paths), "baselines", []))
    assert set(several) == {"fronts", "progress", "attainment", "published"}
    assert set(figures(fronts(read_populations(paths[:1]), None, []))) == {"fronts", "progress"}
    one = ReadOptions(costs=("latency_ms", "madds"))
    assert set(figures(fronts(read_populations(paths[:1], one), None, []))) == {"progress"}


def test_families_need_a_set_of_published_networks(tmp_path):
    with pytest.raises(AnalysisError, match="add --against baselines"):
        fronts(read_populations(searches(tmp_path, 1)), None, ["MixNet"])


def shown(populations):
    console = Console(file=StringIO(), width=200)
    show(fronts(populations, None, []), console)
    return console.file.getvalue()


def test_one_way_to_write_numbers(tmp_path):
    path = tmp_path / "networks.csv"
    rows = {"score": [0.9528, 0.9], "latency_ms": [2.0049, 1.0], "params": [462_770, 4.13e6]}
    pd.DataFrame({**rows, "madds": 3.39e8, "name": ["net", "other"]}).to_csv(path, index=False)
    (population,) = read_populations([str(path)])
    text = shown([replace(population, label="error")])
    assert "score 89.5%, latency_ms 2.11" in text
    for cell in ("95.3%", "2.00", "463k", "4.13M", "339M"):
        assert cell in text
    assert "e+0" not in text
    plain = shown([population])
    assert "0.9528" in plain
    assert "%" not in plain


def test_searches_of_different_supernets_are_compared_with_a_caution(tmp_path):
    one, two = read_populations(searches(tmp_path, 2))
    weights = [replace(p, about={"scores": {"weights": w}}) for p, w in ((one, "ab"), (two, "cd"))]
    assert (
        "Caution: the searches are not directly comparable (different scores: weights ab or cd)"
        in shown(weights)
    )
    assert "Caution" not in shown([one, two])
