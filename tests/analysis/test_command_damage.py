"""Damaged run directories, tables and studies: one line each, never a traceback."""

import json
import sqlite3

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

from analysis.__main__ import main
from analysis.read.retraining import hits_document
from analysis.schema import RETRAINING_COLUMNS
from analysis.statistics.ranking import ranking_card
from tests.analysis.searches import trials

TRIALS = trials(score=[0.95, 0.97, 0.90], **{"x.depth": [1, 2, 3], "architecture": "ir_k3_c8"})
CONFIG = {"space": "s", "data": "d", "device": "x", "command": "c"}


@pytest.fixture
def run(tmp_path):
    """A run directory with every file that a report reads."""
    folder = tmp_path / "run"
    folder.mkdir()
    TRIALS.to_csv(folder / "trials.csv", index=False)
    TRIALS.drop(columns="number").head(1).assign(name="mixnet_s").to_csv(
        folder / "references.csv", index=False
    )
    rows = [
        {
            **dict(zip(RETRAINING_COLUMNS, (name, kind, seed, 0.9, 0.75, 4, 1.0), strict=True)),
            "training": "r1",
            "hits": np.array([True, True, True, False]),
        }
        for name, kind in (("trial_1", "front"), ("mixnet_s", "reference"))
        for seed in (1, 2)
    ]
    pd.DataFrame(rows).drop(columns="hits").to_csv(folder / "confirmed.csv", index=False)
    (folder / "test_hits.json").write_text(hits_document(rows), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    (folder / "conditions.yaml").write_text("scores: {resolution: 36}", encoding="utf-8")
    (folder / "best.yaml").write_text("name: s_trial_1", encoding="utf-8")
    table = pd.DataFrame({"accuracy": [0.1, 0.2, 0.3], "madds": 1e8, "score": [1.0, 2, 3]})
    card = {
        "estimator": "short", "data": "pets", "table": "t.json", "seconds_per_network": 1.0,
        "fingerprint": {}, **ranking_card(table, ["score"], repeats=5).to_dict(),
    }  # fmt: skip
    (folder / "ranking.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def analyzed(monkeypatch, capsys):
    """Run ``python -m analysis`` in this process; return its exit code and standard error."""

    def call(*words):
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["analysis", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return call


def refusal(result):
    code, errors = result
    assert code == 2, errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


def edit(file, /, **columns):
    """Return a change of a table's columns."""

    def change(folder):
        pd.read_csv(folder / file).assign(**columns).to_csv(folder / file, index=False)

    return change


def write(name, text):
    def change(folder):
        (folder / name).write_text(text, encoding="utf-8")

    return change


def tamper(*keys, value):
    """Return a change of a value of the ranking card; without a value, it is removed."""

    def change(folder):
        document = json.loads((folder / "ranking.json").read_text(encoding="utf-8"))
        part = document
        for key in keys[:-1]:
            part = part[key]
        if value is None:
            del part[keys[-1]]
        else:
            part[keys[-1]] = value
        (folder / "ranking.json").write_text(json.dumps(document), encoding="utf-8")

    return change


DAMAGES = {
    "a state is a number": (edit("trials.csv", number=[0, 1, 1]), "two rows have the number 1"),
    "numbers are text": (edit("trials.csv", number=["a", "b", "c"]), "'number' holds text"),
    "a number is missing": (edit("trials.csv", number=[0, None, 2]), "a row has no number"),
    "a number is a fraction": (edit("trials.csv", number=[0, 0.5, 2]), "must hold whole numbers"),
    "scores are text": (edit("trials.csv", score="high"), "'score' holds text"),
    "raw scores are text": (edit("trials.csv", raw_score="high"), "'raw_score' holds text"),
    "limits are odd": (edit("trials.csv", within_limits="maybe"), "must hold true or false"),
    "a table of nothing": (write("trials.csv", "\x00"), "trials.csv"),
    "references have no name": (edit("references.csv", name=None), "a row has no name"),
    "references have text": (edit("references.csv", madds="many"), "'madds' holds text"),
    "references are rows of text": (write("references.csv", "a\n1\n"), "no column"),
    "retrainings lack a column": (write("confirmed.csv", "name,kind\na,front\n"), "no column"),
    "retrainings are text": (edit("confirmed.csv", test="good"), "'test' holds text"),
    "retrainings are percent": (edit("confirmed.csv", test=75.0), "shares from 0 to 1"),
    "no images": (edit("confirmed.csv", test_images=0), "whole numbers of at least 1"),
    "a training is a path": (edit("confirmed.csv", training="../../x"), "must hold digests"),
    "hits are no document": (write("test_hits.json", "[1]"), "test_hits.json is damaged"),
    "hits are torn": (write("test_hits.json", '{"runs": ['), "not valid JSON"),
    "the card is empty": (write("ranking.json", ""), "is not a ranking card"),
    "the card is a list": (write("ranking.json", "[]"), "is not a ranking card"),
    "the card is deep": (write("ranking.json", "[" * 5000 + "]" * 5000), "nested more than"),
    "the card has no n": (tamper("n", value=None), "it has no 'n'"),
    "n is infinite": (tamper("n", value=float("inf")), "is not a ranking card"),
    "n is text": (tamper("n", value="many"), "is not a ranking card"),
    "rankings are text": (tamper("rankings", value="many"), "is not a ranking card"),
    "an interval is a number": (tamper("rankings", 0, "tau", value=3), "is not a ranking card"),
    "an interval is torn": (tamper("rankings", 0, "tau", "low", value=None), "it has no 'low'"),
    "precision is at text": (
        tamper("rankings", 0, "precision", value={"x": {}}),
        "is not a ranking card",
    ),
    "seconds are text": (tamper("seconds_per_network", value="soon"), "is not a ranking card"),
    "conditions are deep": (
        write("conditions.yaml", "[" * 5000 + "]" * 5000),
        "nested more than 50 levels deep",
    ),
    "conditions are a list": (write("conditions.yaml", "[1]"), "is not a mapping"),
    "the best is torn": (write("best.yaml", "name: ["), "best.yaml cannot be read"),
    "the configuration is text": (write("config.yaml", "text"), "it must have the keys"),
    "a stride is a fraction": (edit("trials.csv", architecture="ir_k3_s1.5_c8"), ""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_one_line_or_a_report(run, analyzed, damage):
    change, said = DAMAGES[damage]
    change(run)
    result = analyzed("report", run)
    if said:
        assert said in refusal(result)
    else:
        assert result == (0, "")


def test_an_undamaged_run_has_its_report(run, analyzed):
    assert analyzed("report", run) == (0, "")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "networks are compared image by image" in page


def test_figures_are_not_written_through_a_link(run, analyzed, tmp_path):
    (tmp_path / "outside").mkdir()
    (run / "figures").symlink_to(tmp_path / "outside")
    assert "leads to another folder" in refusal(analyzed("report", run))
    assert list((tmp_path / "outside").iterdir()) == []


# -- studies --------------------------------------------------------------------------------


@pytest.fixture
def storage(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    made = optuna.create_study(storage=url, study_name="mine", directions=["maximize", "minimize"])
    for depth in (1, 2, 3):
        trial = made.ask()
        trial.suggest_int("depth", depth, depth)
        trial.set_user_attr("cost", {"madds": 100 * depth})
        made.tell(trial, [0.5 * depth, 1.0 * depth])
    return tmp_path / "study.db"


TAMPERED = {
    "an attribute is no JSON": "UPDATE trial_user_attributes SET value_json = '{'",
    "an attribute is deep": (
        "UPDATE trial_user_attributes SET value_json = '" + "[" * 5000 + "]" * 5000 + "'"
    ),
    "an attribute is a list": "UPDATE trial_user_attributes SET value_json = '[1]'",
    "an attribute has a number": (
        'UPDATE trial_user_attributes SET value_json = \'{"number": "x", "state": 1}\''
    ),
    "an attribute is text here and a number there": (
        'UPDATE trial_user_attributes SET value_json = \'{"madds": "many"}\' WHERE trial_id = 1'
    ),
    "an attribute is huge": (
        'UPDATE trial_user_attributes SET value_json = \'{"madds": 1' + "0" * 400 + "}'"
    ),
    "a limit is odd": (
        'UPDATE trial_user_attributes SET value_json = \'{"within_limits": "maybe"}\''
    ),
    "a state is unknown": "UPDATE trials SET state = 'DONE'",
    "a date is text": "UPDATE trials SET datetime_start = 'yesterday'",
    "a value is gone": "DELETE FROM trial_values WHERE objective = 1",
    "a value is text": "UPDATE trial_values SET value = 'high'",
    "a value has no kind": "UPDATE trial_values SET value_type = 'ODD'",
    "a distribution is no JSON": "UPDATE trial_params SET distribution_json = '{'",
    "a distribution is unknown": (
        'UPDATE trial_params SET distribution_json = \'{"name": "x", "attributes": {}}\''
    ),
    "a parameter is out of range": "UPDATE trial_params SET param_value = 99",
    "a direction is unknown": "UPDATE study_directions SET direction = 'UP'",
    "directions are gone": "DELETE FROM study_directions",
    "a table is gone": "DROP TABLE trial_params",
    "a number is taken twice": "UPDATE trials SET number = 0",
    "names are a number": (
        "INSERT INTO study_system_attributes (study_id, key, value_json) "
        "VALUES (1, 'study:metric_names', '3')"
    ),
    "names are states": (
        "INSERT INTO study_system_attributes (study_id, key, value_json) "
        "VALUES (1, 'study:metric_names', '[\"state\", \"number\"]')"
    ),
    "the version is unknown": "UPDATE version_info SET schema_version = 99",
}


@pytest.mark.parametrize("command", ["pareto", "population"])
@pytest.mark.parametrize("damage", TAMPERED)
def test_a_tampered_study_is_one_line_or_a_result(storage, analyzed, damage, command):
    with sqlite3.connect(storage) as database:
        database.execute(TAMPERED[damage])
    database.close()
    code, errors = analyzed(command, f"sqlite:///{storage}")
    if code:
        refusal((code, errors))
    else:
        assert errors == ""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("an attribute is no JSON", "the Optuna storage is damaged; reading it ended with "),
        ("a state is unknown", "the Optuna storage is damaged; reading it ended with "),
        ("a value is gone", "trial 0 is complete, but has 1 value for 2 objectives"),
        ("a value has no kind", "the Optuna storage is damaged; reading it ended with "),
        ("names are states", "calls its 2 objectives state, number; give each a name of its own"),
        ("a limit is odd", "must hold true or false, not 'maybe'"),
    ],
)
def test_the_reason_is_said(storage, analyzed, damage, said):
    with sqlite3.connect(storage) as database:
        database.execute(TAMPERED[damage])
    database.close()
    assert said in refusal(analyzed("pareto", f"sqlite:///{storage}"))


# -- usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("population", "t.csv", "--seed", "-1"), "--seed"),
        (("population", "t.csv", "--sed", "1"), "--sed"),
        (("fronts",), "fronts"),
        (("pareto",), "source"),
        (("pareto", "a\x1b[2J.csv"), "no such file"),
    ],
)
def test_usage_errors_are_one_line(analyzed, words, said):
    message = refusal(analyzed(*words))
    assert said.lower() in message.lower()
    assert "\x1b" not in message
