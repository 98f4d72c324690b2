import json

import pandas as pd
import pytest

from nas.accuracy.table import read_networks
from nas.accuracy.zero_cost import ZeroCost
from nas.blocks import MBConv
from nas.cost import count
from nas.errors import MixnasError
from nas.rank.run import RankingRun
from nas.spec import Head, NetworkSpec, Stem


@pytest.fixture
def table(tmp_path):
    """Twelve networks whose accuracy grows with their parameters, but for a little."""
    rows = []
    for i in range(12):
        block = MBConv(channels=16 + 8 * i, stride=2, expansion=3, kernels=(3 + 2 * (i % 2),))
        spec = NetworkSpec(
            stem=Stem(channels=16),
            stages=((block,),),
            head=Head(channels=64),
            num_classes=10,
            name=f"n{i}",
        )
        base = 0.5 + count(spec).params / 1e5
        rows.append({"spec": spec.to_dict(), "accuracies": [base, base + 0.001 * (i % 3)]})
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"networks": rows}), encoding="utf-8")
    return path


def test_a_card_is_printed_and_kept(table, here, tmp_path):
    words = ("nas.rank", "--table", table, "-e", "zero-cost:params", "--out", tmp_path / "r")
    result = here(*words, "--workers", "1")
    assert result.returncode == 0, result.stderr
    for name in ("the estimator", "parameters", "MAdds", "depth", "another full training"):
        assert name in result.stdout
    card = json.loads((tmp_path / "r" / "card.json").read_text(encoding="utf-8"))
    assert card["n"] == 12
    score, params = card["rankings"][:2]
    assert score["tau"] == params["tau"]  # they are the same numbers
    assert score["tau"]["value"] > 0.8
    assert len(pd.read_csv(tmp_path / "r" / "networks.csv")) == 12
    assert (tmp_path / "r" / "ranking.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_ranking_goes_on_where_it_was(table, here, tmp_path):
    words = ("nas.rank", "--table", table, "-e", "zero-cost:madds", "--out", tmp_path / "r")
    assert here(*words, "--workers", "1").returncode == 0
    scores = tmp_path / "r" / "scores.json"
    kept = json.loads(scores.read_text(encoding="utf-8"))
    kept["3"]["score"] = 123.0  # as if from before
    del kept["5"]
    scores.write_text(json.dumps(kept), encoding="utf-8")
    result = here(*words, "--workers", "1", "--json")
    assert json.loads(result.stdout)["without_score"] == 0
    again = json.loads(scores.read_text(encoding="utf-8"))
    assert again["3"]["score"] == 123.0
    assert again["5"]["score"] > 0


def test_a_table_of_two_says_that_it_is_small(table, refused, tmp_path):
    rows = json.loads(table.read_text(encoding="utf-8"))["networks"][:2]
    table.write_text(json.dumps({"networks": rows}), encoding="utf-8")
    words = ("--table", table, "-e", "zero-cost:params", "--workers", "1", "--out", tmp_path / "r")
    assert "2 of 2 networks have a score, wanted are 3" in refused("nas.rank", *words)


def test_networks_without_a_score_are_counted(table, here, tmp_path, fakes):
    words = ("nas.rank", "--table", table, "-e", "nas.testing.fakes:Moody", "--out", tmp_path / "r")
    result = here(*words, "--workers", "2", "--trial-timeout", "3s", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert 0 < found["without_score"] < 10
    assert found["n"] == 12 - found["without_score"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "."), "exists; choose another --out"),
        (("-e", "nonsense"), "unknown estimator 'nonsense'"),
        (("--data", "no/where"), "there is no data at no/where"),
        (("--table", "missing.json"), "there is no table missing.json"),
    ],
)
def test_mistakes_are_told(table, refused, words, said):
    assert said in refused("nas.rank", "--table", table, "-e", "zero-cost:params", *words)


def test_another_ranking_is_not_gone_on_with(table, tmp_path):
    networks = read_networks(table)

    def opened(score):
        RankingRun(tmp_path / "r", ZeroCost(score=score), networks, 0, {"n": 12}).open()

    opened("madds")
    opened("madds")
    with pytest.raises(MixnasError, match="is a ranking of other settings"):
        opened("params")
