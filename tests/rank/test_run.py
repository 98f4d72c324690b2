import dataclasses
import json

import numpy as np
import pytest
import yaml

from nas.accuracy.base import Estimate
from nas.accuracy.table import TrainedNetwork
from nas.accuracy.zero_cost import ZeroCost
from nas.errors import MixnasError
from nas.executors.base import Failure, Resources
from nas.files import claim_folder
from nas.rank.run import RankingRun, _result_row, claimed_folder, draw_networks
from nas.rank.settings import RankingSettings
from tests.networks import DEEP, TINY

SETTINGS = RankingSettings(table="trained.json", estimator="zero-cost:params", n=4)
NETWORKS = [
    TrainedNetwork(TINY, (0.80, 0.82)),
    TrainedNetwork(DEEP, (0.90, 0.91, 0.92)),
    TrainedNetwork(TINY.replace(name="wide", stem=type(TINY.stem)(channels=32)), (0.85, 0.86)),
    TrainedNetwork(DEEP.replace(name="deeper", stem=type(TINY.stem)(channels=32)), (0.93, 0.95)),
]


def ranking(path, score="params", settings=SETTINGS, networks=NETWORKS):
    return RankingRun(path, ZeroCost(score=score), networks, settings)


def scored(path, scores):
    """A ranking with these scores, None for a failure."""
    run = ranking(path)
    run.open()
    for number, score in enumerate(scores):
        seconds = 1.5 if score is None else float(number)
        estimate = Estimate(accuracy=None, loss=None, seconds=seconds, seed=0, score=score or 0)
        failure = Failure("the training loss is nan")
        run.results[number] = _result_row(failure if score is None else estimate)
    return run


def test_a_new_folder_holds_the_settings(tmp_path):
    ranking(tmp_path / "r").open()
    saved = yaml.safe_load((tmp_path / "r" / "ranking.yaml").read_text(encoding="utf-8"))
    fingerprint, basis = saved.pop("fingerprint"), saved.pop("basis")
    assert basis["estimator"] == "zero-cost:params"
    assert saved == dataclasses.asdict(SETTINGS)
    assert len(fingerprint) == 16
    ranking(tmp_path / "r").open()  # once more, to continue it


def test_a_table_and_a_data_set_may_be_moved(tmp_path):
    ranking(tmp_path / "r").open()
    moved = dataclasses.replace(SETTINGS, table="moved.json", data="moved")
    ranking(tmp_path / "r", settings=moved).open()
    others = [*NETWORKS[:3], NETWORKS[0]]
    with pytest.raises(MixnasError, match=r"other settings \(tested_networks was"):
        ranking(tmp_path / "r", networks=others).check()


@pytest.mark.parametrize("change", [{"table": "b"}, {"data": "b"}])
def test_names_decide_in_a_ranking_of_an_earlier_version(tmp_path, change):
    ranking(tmp_path / "r").open()
    file = tmp_path / "r" / "ranking.yaml"
    saved = yaml.safe_load(file.read_text(encoding="utf-8"))
    del saved["basis"]
    file.write_text(yaml.safe_dump(saved), encoding="utf-8")
    other = ranking(tmp_path / "r", settings=dataclasses.replace(SETTINGS, **change))
    with pytest.raises(MixnasError, match="other settings"):
        other.check()


@pytest.mark.parametrize("change", [{"n": 5}, {"seed": 1}, {"estimator": "short"}])
def test_a_ranking_with_other_settings_is_refused(tmp_path, change):
    ranking(tmp_path / "r").open()
    other = ranking(tmp_path / "r", settings=dataclasses.replace(SETTINGS, **change))
    with pytest.raises(
        MixnasError,
        match=r"r is a ranking with other settings \(.* was .*, and is .* now\); choose another",
    ):
        other.check()


def test_a_ranking_of_an_estimator_that_changed_is_refused(tmp_path):
    ranking(tmp_path / "r", "madds").open()
    other = ranking(tmp_path / "r", "params")
    for refuse in (other.check, other.open):  # the first before the estimator is prepared
        with pytest.raises(
            MixnasError,
            match=r"other settings \(estimator was zero-cost:madds, and is zero-cost:params",
        ):
            refuse()


def test_a_ranking_of_an_earlier_version_is_compared_when_the_estimator_is_prepared(tmp_path):
    ranking(tmp_path / "r", "madds").open()
    file = tmp_path / "r" / "ranking.yaml"
    saved = yaml.safe_load(file.read_text(encoding="utf-8"))
    del saved["basis"]
    file.write_text(yaml.safe_dump(saved), encoding="utf-8")
    other = ranking(tmp_path / "r", "params")
    other.check()
    with pytest.raises(MixnasError, match="is a ranking with other settings"):
        other.open()


def test_the_folder_of_a_ranking_is_taken_before_anything_takes_long(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(MixnasError, match="full already exists"), claimed_folder(tmp_path / "full"):
        pytest.fail("another folder's content")
    with claimed_folder(tmp_path / "new") as (path, lock):
        run = ranking(path)
        run.lock = lock
        with (
            pytest.raises(MixnasError, match="another process is working in"),
            claimed_folder(path),
        ):
            pytest.fail("a folder in use")
        run.open()
    del run, lock
    with pytest.raises(ZeroDivisionError), claimed_folder(tmp_path / "new"):
        _ = 1 / 0
    assert (tmp_path / "new" / "ranking.yaml").is_file()  # its ranking can be continued
    with pytest.raises(ZeroDivisionError), claimed_folder(tmp_path / "other"):
        _ = 1 / 0
    assert not (tmp_path / "other").exists()


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(MixnasError, match="already exists; choose another --out"):
            ranking(path).open()
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_is_claimed_while_the_ranking_lives(tmp_path):
    first = ranking(tmp_path / "r")
    first.open()
    with pytest.raises(MixnasError, match="another process is working in"):
        ranking(tmp_path / "r").open()
    del first
    lock = claim_folder(tmp_path / "r")
    assert lock.is_locked


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scores.json", "{", r"scores\.json is damaged .*remove it to evaluate all networks again"),
        ("scores.json", '{"x": {}}', "is damaged"),
        ("scores.json", '{"0": {}}', "is damaged .*lacks its score or its seconds"),
        ("scores.json", '{"0": {"score": 1}}', "is damaged .*lacks its score or its seconds"),
        (
            "scores.json",
            '{"0": {"score": 1, "seconds": 1, "accuracy": 10}}',
            "is damaged .*has what no result has",
        ),
        ("scores.json", "[1]", "is damaged"),
        (
            "scores.json",
            '{"0": {"score": "much", "seconds": 1}}',
            "is damaged .*something else than numbers",
        ),
        (
            "scores.json",
            '{"0": {"score": 1, "seconds": 1, "reason": 3}}',
            "is damaged .*is no text",
        ),
        ("scores.json", "[" * 100_000, "is damaged"),
        ("ranking.yaml", "a: [", r"ranking\.yaml:1: not valid YAML"),
        ("ranking.yaml", "[1]", "is a ranking with other settings"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, text, message):
    ranking(tmp_path / "r").open()
    (tmp_path / "r" / name).write_text(text, encoding="utf-8")
    with pytest.raises(MixnasError, match=message):
        ranking(tmp_path / "r").open()


def test_only_networks_without_a_result_are_judged(tmp_path, monkeypatch):
    judged = []

    class Executor:
        def __init__(self, estimator, resources):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def run(self, tasks):
            for number, task in tasks.items():
                judged.append((number, task.spec.name, task.seed))
                yield number, Failure("no")

    monkeypatch.setattr("nas.rank.run.LocalExecutor", Executor)
    settings = dataclasses.replace(SETTINGS, seed=5)
    run = ranking(tmp_path / "r", settings=settings)
    run.open()
    known = {n: {"score": s, "seconds": None} for n, s in ((0, 1.0), (2, None))}
    run.results = dict(known)
    steps = []
    run.run(Resources(1), lambda *step: steps.append(step))
    assert judged == [(1, "deep", 5), (3, "deeper", 5)]
    assert steps == [(3, 4), (4, 4)]
    del run
    again = ranking(tmp_path / "r", settings=settings)
    again.open()
    failure = {"score": None, "seconds": None, "reason": "no"}
    assert again.results == {**known, 1: failure, 3: failure}


def test_the_table_has_costs_and_results(tmp_path):
    table = scored(tmp_path / "r", [1.0, None, 3.0, 4.0]).table()
    assert list(table["name"]) == ["tiny", "deep", "wide", "deeper"]
    assert list(table["accuracy"]) == pytest.approx([0.81, 0.91, 0.855, 0.94])
    # The stem, three convolutions a block, and the head; groups and squeeze-excitation add none.
    assert list(table["depth"]) == [5, 11, 5, 11]
    assert list(table["score"].isna()) == [False, True, False, False]
    assert table["reason"][1] == "the training loss is nan"
    assert (table["params"] > 0).all()
    assert table["madds"][3] > table["madds"][1]


def test_a_card_and_its_files_are_written(tmp_path):
    run = scored(tmp_path / "r", [1.0, None, 2.0, 3.0])
    card = run.finish()
    assert card.n == 3
    assert [each.name for each in card.rankings] == ["score", "params", "madds", "depth"]
    assert card.rankings[0].tau.value == pytest.approx(1)
    assert card.seeds is not None
    summary = json.loads((tmp_path / "r" / "card.json").read_text(encoding="utf-8"))
    assert (summary["table"], summary["estimator"]) == ("trained.json", "zero-cost:params")
    assert summary["seconds_per_network"] == pytest.approx(5 / 3, abs=1e-3)  # 0, 2 and 3 seconds
    assert (summary["without_score"], summary["n"]) == (1, 3)
    assert summary["fingerprint"]["estimator"] == "zero-cost:params"
    names = {"networks.csv", "card.json", "ranking.svg", "ranking.png", "ranking.yaml"}
    assert names <= {file.name for file in (tmp_path / "r").iterdir()}


def test_three_networks_with_a_score_are_needed(tmp_path):
    run = scored(tmp_path / "r", [1.0, None, None, 3.0])
    message = "2 of 4 networks have a score, but a ranking needs at least 3: the training loss is"
    with pytest.raises(MixnasError, match=message):
        run.finish()
    assert (tmp_path / "r" / "networks.csv").is_file()


def test_trainings_are_compared_where_all_networks_have_several(tmp_path):
    run = ranking(tmp_path / "r")
    every = run._replicates(np.array([True, True, True, False]))
    assert every.tolist() == [[0.80, 0.82], [0.90, 0.91], [0.85, 0.86]]
    run.networks = [*NETWORKS[:3], TrainedNetwork(DEEP, (0.9,))]
    assert run._replicates(np.array([True] * 4)) is None


def test_networks_are_drawn_without_replacement():
    drawn = draw_networks(NETWORKS, 3, 1)
    assert len({network.spec.name for network in drawn}) == 3
    assert drawn == draw_networks(NETWORKS, 3, 1)
    assert any(draw_networks(NETWORKS, 3, seed) != drawn for seed in range(5))
    assert draw_networks(NETWORKS, 4, 1) == draw_networks(NETWORKS, 9, 1) == NETWORKS


def test_results_become_rows():
    estimate = Estimate(accuracy=0.5, loss=0.7, seconds=2.0, seed=0, score=0.6)
    assert _result_row(estimate) == {
        "score": 0.6,
        "seconds": 2.0,
        "estimated_accuracy": 0.5,
        "estimated_loss": 0.7,
    }
    assert _result_row(Failure("no")) == {"score": None, "seconds": None, "reason": "no"}
