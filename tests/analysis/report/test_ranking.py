import json

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.report.ranking import (
    interval_text,
    keep_card,
    ranking_header,
    ranking_rows,
    read_card,
)
from analysis.statistics.ranking import ranking_card


@pytest.fixture
def card():
    rng = np.random.default_rng(0)
    truth = rng.normal(0.9, 0.01, 30)
    table = pd.DataFrame(
        {
            "accuracy": truth,
            "madds": 1e8 * truth,
            "score": truth + rng.normal(0, 0.01, 30),
            "even": 1.0,
        }
    )
    return ranking_card(
        table, ["score", "even"], np.stack([truth, table["score"]], axis=1), repeats=50
    )


@pytest.fixture
def file(card, tmp_path):
    path = tmp_path / "rank"
    path.mkdir()
    given = {
        "estimator": "short",
        "data": "pets",
        "table": "macro.json",
        "seconds_per_network": 2.5,
    }
    document = {**given, "fingerprint": {"estimator": "short"}, **card.to_dict()}
    (path / "card.json").write_text(json.dumps(document), encoding="utf-8")
    return path / "card.json"


def test_a_card_is_read_as_it_was_written(card, file):
    for path in (file, file.parent):
        kept = read_card(path)
        assert kept.card.to_dict() == card.to_dict()
        assert (kept.estimator, kept.data, kept.table, kept.seconds) == (
            "short",
            "pets",
            "macro.json",
            2.5,
        )


def test_the_table_ends_with_one_more_training(card):
    header, rows = ranking_header(card), ranking_rows(card)
    assert header == [
        "",
        "Kendall tau",
        "Spearman rho",
        "tau at similar MAdds",
        "best 2",
        "best 3",
        "best 8",
    ]
    assert [row[0] for row in rows] == ["the estimator", "even", "one more training run"]
    assert all(len(row) == len(header) for row in rows)
    assert rows[0][1] == interval_text(card.rankings[0].tau)
    assert rows[0][4].count("%") == 3
    assert rows[1][1] == "-"  # a score that is always the same ranks nothing


def test_a_run_keeps_its_card(file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(AnalysisError, match="is not a run directory"):
        keep_card(file, run)
    (run / "config.yaml").write_text("{}", encoding="utf-8")
    keep_card(file.parent, run)
    assert (run / "ranking.json").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rankings": []}, "it has no rankings"),
        ({"rankings": [{"name": "score"}]}, "tau"),
        ({"seconds_per_network": "soon"}, "soon"),
        ({"fingerprint": 3}, "is not a ranking card"),
    ],
)
def test_damaged_cards_are_named(file, change, said):
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**document, **change}), encoding="utf-8")
    with pytest.raises(AnalysisError, match=said):
        read_card(file)


@pytest.mark.parametrize("text", ["", "[1]", "null"])
def test_what_is_no_card_is_named(file, text):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match="is not a ranking card"):
        read_card(file)


def test_a_missing_card_is_told_where_cards_come_from(tmp_path):
    with pytest.raises(AnalysisError, match=r"nas\.rank writes"):
        read_card(tmp_path)
