"""Published networks: their recorded figures, and which of them are shown beside a population."""

from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions, read_population
from analysis.statistics.published import (
    best_published,
    published_in_range,
    published_table,
    read_baselines,
)


def population(tmp_path, **columns):
    path = tmp_path / "networks.csv"
    pd.DataFrame({"accuracy": [0.5, 0.6], **columns}).to_csv(path, index=False)
    return read_population(str(path), ReadOptions(score="accuracy"))


def test_figures_are_those_of_the_papers():
    table = read_baselines().set_index("name")
    assert table.loc["MixNet-S", ["top1", "madds"]].tolist() == [75.8, 256e6]
    assert table.loc["MixNet-L", ["top1", "madds"]].tolist() == [78.9, 565e6]
    # timm's count, without batch normalization, is what the spec counts.
    assert table.loc["mixnet_s.ft_in1k", "madds"] == pytest.approx(239_173_360, rel=2e-4)
    assert table.notna().all().drop("top5").all()
    assert table["madds"].is_monotonic_increasing


def test_families_are_chosen_by_name():
    assert set(read_baselines(["MixNet"])["family"]) == {"MixNet"}
    assert "MixNet-S" in set(read_baselines(["MixNet", "TinyNet"])["name"])
    with pytest.raises(AnalysisError, match=r"no family 'Mixnet'; the families are .*MixNet"):
        read_baselines(["Mixnet"])


def test_the_best_are_those_that_none_of_fewer_madds_beats():
    shown = best_published(1e8, 4e8)
    table = read_baselines()
    table = table[table["madds"].between(1e8, 4e8)]
    for _, row in table.iterrows():
        beaten = ((table["madds"] <= row["madds"]) & (table["top1"] >= row["top1"])) & (
            (table["madds"] < row["madds"]) | (table["top1"] > row["top1"])
        )
        assert (row["name"] in set(shown["name"])) == (not beaten.any())
    assert best_published(1, 2).empty


def test_the_range_is_a_quarter_more_than_the_population(tmp_path):
    found = population(tmp_path, madds=[3.2e8, 1e8])
    shown = published_in_range([found], "baselines", [])
    pd.testing.assert_frame_equal(shown, best_published(8e7, 4e8))
    assert shown["madds"].min() < 1e8 < 3.2e8 < shown["madds"].max()
    assert published_in_range([found], None, []) is None


def test_mistakes_are_named(tmp_path):
    found = population(tmp_path, madds=[1e8, 4e8])
    with pytest.raises(
        AnalysisError, match="unknown set of published networks 'imagenet'; choose baselines"
    ):
        published_in_range([found], "imagenet", [])
    with pytest.raises(AnalysisError, match="add --against baselines"):
        published_in_range([found], None, ["MixNet"])
    with pytest.raises(AnalysisError, match="networks has no column 'madds', by which"):
        published_in_range([population(tmp_path)], "baselines", [])
    with pytest.raises(AnalysisError, match="no network has multiply-adds"):
        published_in_range([population(tmp_path, madds=[None, None])], "baselines", [])


def test_the_table_says_whose_accuracies_they_are():
    row = read_baselines().set_index("name", drop=False).loc[["MixNet-S"]]
    console = Console(file=StringIO(), width=200)
    console.print(published_table(row))
    text = console.file.getvalue()
    assert "ImageNet accuracies" in text
    assert [word in text for word in ("MixNet-S", "75.8", "256", "4.1")] == [True] * 4
