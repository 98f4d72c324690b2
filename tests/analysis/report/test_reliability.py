from pathlib import Path

import pandas as pd
import pytest

from analysis.read.runs import Run
from analysis.report.ranking import SavedCard
from analysis.report.reliability import error_rows, flat, reliability
from analysis.schema import RETRAINING_COLUMNS
from analysis.statistics.ranking import ranking_card


def run(conditions=None, sources=("measured", "measured"), estimator="short"):
    trials = pd.DataFrame(
        {
            "number": range(len(sources)),
            "state": "complete",
            "accuracy": 0.5,
            "score": 0.5,
            "latency_ms": 1.0,
            "latency_source": sources,
        }
    )
    return Run(
        path=Path("run"),
        config={"estimator": estimator},
        trials=trials,
        references=trials.head(0),
        retrained=pd.DataFrame(columns=RETRAINING_COLUMNS),
        conditions=conditions or {},
        best="",
    )


CARD = {"n": 40, "within_5": 0.8, "within_10": 0.975}


@pytest.mark.parametrize(
    ("conditions", "sources", "text"),
    [
        ({}, ("measured", "measured"), "All latencies were measured on the device."),
        ({}, ("measured", "predicted"), "the predictor's error is not known"),
        ({"predictor": CARD}, ("predicted", "measured"), "the predictor's errors on networks"),
    ],
)
def test_latencies_say_where_they_come_from(conditions, sources, text):
    assert text in reliability(run(conditions, sources), None)[0]


def saved(estimator):
    table = pd.DataFrame({"accuracy": [0.1, 0.2, 0.3], "madds": 1e8, "score": [1.0, 2.0, 3.0]})
    card = ranking_card(table, ["score"], repeats=10)
    return SavedCard(
        card=card, estimator=estimator, data="pets", table="t.json", seconds=2.5, fingerprint={}
    )


def test_scores_are_as_reliable_as_their_ranking():
    assert "python -m nas.rank" in reliability(run(), None)[1]
    text = reliability(run(), saved("short"))[1]
    assert "The estimator short on pets ranks 3 fully trained networks of t.json" in text
    assert "Kendall tau of 1.00" in text
    assert "2.5 s per network" in text
    assert "different estimator" not in text
    assert "different estimator, short" in reliability(run(), saved("naswot"))[1]


def test_an_error_card_is_a_table():
    rows = error_rows(run({"predictor": CARD}))
    assert rows == [
        ("networks tested", "40"),
        ("within 5% of the measured latency", "80%"),
        ("within 10% of the measured latency", "98%"),
    ]
    more = {**CARD, "mean_error": 0.0314, "spearman": 0.98765, "spearman_in_band": 0.5}
    rows = error_rows(run({"predictor": {**more, "n_in_band": 12}}))[3:]
    assert rows == [
        ("mean error", "3.1%"),
        ("Spearman's rho", "0.988"),
        ("Spearman's rho among 12 networks with similar MAdds", "0.500"),
    ]


@pytest.mark.parametrize("card", [None, "card", {}, {**CARD, "n": "many"}])
def test_what_is_not_an_error_card_is_no_table(card):
    assert error_rows(run({"predictor": card})) == []


def test_nested_conditions_are_rows():
    conditions = {"versions": {"torch": "2.13.0", "cuda": None}, "cores": 2, "empty": {}}
    assert flat(conditions) == [("versions torch", "2.13.0"), ("cores", "2")]


def test_one_more_training_run_is_not_called_a_bound():
    text = reliability(run(), saved("short"))[1]
    assert "One more training run is a single full training, compared with the mean of the" in text
    assert "it is no upper bound" in text
    assert "no score can" not in text


@pytest.mark.parametrize("value", ["high", [1], True, {}])
def test_odd_figures_of_an_error_card_are_left_out(value):
    card = {**CARD, "mean_error": value, "spearman": value, "spearman_in_band": value}
    assert len(error_rows(run({"predictor": card}))) == 3
