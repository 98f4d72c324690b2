import json

import pandas as pd
import pytest

from nas.blocks import MBConv
from nas.cost import count
from nas.spec import Head, NetworkSpec, Stem


@pytest.fixture
def table(tmp_path):
    """Twelve networks whose accuracy grows with their parameters, nearly always."""
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


def test_a_card_is_printed_and_saved(table, here, tmp_path):
    words = ("nas.rank", "--table", table, "-e", "zero-cost:params", "--out", tmp_path / "r")
    result = here(*words, "--workers", "1")
    assert result.returncode == 0, result.stderr
    for name in ("the estimator", "parameters", "MAdds", "depth", "one more training run"):
        assert name in result.stdout
    card = json.loads((tmp_path / "r" / "card.json").read_text(encoding="utf-8"))
    assert card["n"] == 12
    assert "digits: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1,797 images: 1,077" in result.stderr
    score, params = card["rankings"][:2]
    assert score["tau"] == params["tau"]  # they are the same numbers
    assert score["tau"]["value"] > 0.8
    assert len(pd.read_csv(tmp_path / "r" / "networks.csv")) == 12
    assert (tmp_path / "r" / "ranking.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_ranking_is_continued(table, here, tmp_path):
    words = ("nas.rank", "--table", table, "-e", "zero-cost:madds", "--out", tmp_path / "r")
    assert here(*words, "--workers", "1").returncode == 0
    scores = tmp_path / "r" / "scores.json"
    saved = json.loads(scores.read_text(encoding="utf-8"))
    saved["3"]["score"] = 123.0  # as if from an earlier run
    del saved["5"]
    scores.write_text(json.dumps(saved), encoding="utf-8")
    result = here(*words, "--workers", "1", "--json")
    assert json.loads(result.stdout)["without_score"] == 0
    again = json.loads(scores.read_text(encoding="utf-8"))
    assert again["3"]["score"] == 123.0
    assert again["5"]["score"] > 0


def test_a_table_of_two_is_too_small(table, refused, tmp_path):
    rows = json.loads(table.read_text(encoding="utf-8"))["networks"][:2]
    table.write_text(json.dumps({"networks": rows}), encoding="utf-8")
    words = ("--table", table, "-e", "zero-cost:params", "--workers", "1", "--out", tmp_path / "r")
    assert "table.json has 2 networks, but a ranking needs at least 3" in refused(
        "nas.rank", *words
    )


@pytest.mark.slow
def test_networks_without_a_score_are_counted(table, here, tmp_path, fakes):
    words = ("nas.rank", "--table", table, "-e", "nas.testing.fakes:Moody", "--out", tmp_path / "r")
    result = here(*words, "--workers", "2", "--trial-timeout", "3s", "--json")
    assert result.returncode == 0, result.stderr
    card = json.loads(result.stdout)
    assert 0 < card["without_score"] < 10
    assert card["n"] == 12 - card["without_score"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "."), "already exists; choose another --out"),
        (("-e", "nonsense"), "unknown estimator 'nonsense'"),
        (("--data", "no/where"), "there is no data set at no/where"),
        (("--table", "missing.json"), "there is no table missing.json"),
    ],
)
def test_mistakes_are_refused(table, refused, words, said):
    assert said in refused("nas.rank", "--table", table, "-e", "zero-cost:params", *words)


def test_an_occupied_folder_is_refused_before_anything_long_is_done(table, here, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "notes.txt").write_text("mine", encoding="utf-8")
    result = here("nas.rank", "--table", table, "-e", "supernet", "--out", tmp_path / "r")
    assert result.returncode == 2
    assert result.stderr == f"error: {tmp_path / 'r'} already exists; choose another --out\n"


def test_networks_for_other_classes_are_refused(table, refused):
    document = json.loads(table.read_text(encoding="utf-8"))
    document["networks"][4]["spec"]["num_classes"] = 7
    table.write_text(json.dumps(document), encoding="utf-8")
    message = refused("nas.rank", "--table", table, "-e", "zero-cost:params")
    assert "digits has 10 classes, but" in message
    assert "has networks with 7; give the data set" in message


def test_the_help_shows_the_defaults(here):
    shown = " ".join(here("nas.rank", "--help").stdout.split())
    for default in ("supernet", "digits", "60; x>=3", "0; x>=0"):
        assert f"[default: {default}]" in shown
