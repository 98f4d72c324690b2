import dataclasses

import optuna
import pytest

from nas.objective import Objective
from nas.study.extension import UNRUNNABLE, extended_study
from nas.testing.fakes import InstantDevice, SecondDevice
from tests.searching import finish, open_study, write_space


@pytest.fixture
def study(tmp_path):
    """Three complete trials, a failed one and a pruned one."""
    write_space(tmp_path)
    study = open_study(f"sqlite:///{tmp_path}/study.db", tmp_path)
    for _ in range(3):
        finish(study, study.ask())
    study.fail(study.ask(), "a bug")
    study.prune(study.ask(), "too slow")
    return study


def test_trials_keep_what_they_are_and_get_the_latency_on_the_device(study):
    second = {
        number: SecondDevice().measure(study.space.decode(genotype))
        for number, genotype in study.without_latency("b").items()
    }
    assert list(second) == [0, 1, 2]
    for number in (0, 1):
        study.confirm(number, second[number], "b")
    assert list(study.without_latency("b")) == [2]
    name = extended_study(study, ("", "b"), Objective("pareto", devices=2))
    assert name == "search-2"
    found = optuna.load_study(study_name=name, storage=study.optuna_study._storage)
    assert [direction.name for direction in found.directions] == [
        "MAXIMIZE",
        "MINIMIZE",
        "MINIMIZE",
    ]
    assert found.metric_names == ["score", "latency on  (ms)", "latency on b (ms)"]
    before, after = study.optuna_study.get_trials(), found.get_trials()
    assert [t.state for t in after] == [t.state for t in before]
    assert [t.params for t in after] == [t.params for t in before]
    assert [t.datetime_start for t in after] == [t.datetime_start for t in before]
    for trial, earlier in zip(after[:2], before[:2], strict=True):
        latency = second[trial.number]
        assert trial.values == [*earlier.values, latency.steady_ms]
        expected = {**earlier.user_attrs, "latency@b": latency.to_dict()}
        assert {**trial.user_attrs} == {**expected, "latency@b": trial.user_attrs["latency@b"]}
        assert trial.user_attrs["latency@b"]["steady_ms"] == latency.steady_ms
    slowest = max(second[n].steady_ms for n in (0, 1))
    assert after[2].values == [*before[2].values, UNRUNNABLE * slowest]
    assert "latency@b" not in after[2].user_attrs
    assert after[3].user_attrs["reason"] == "a bug"


def test_a_copy_that_was_interrupted_is_left_behind(study):
    study.confirm(0, dataclasses.replace(InstantDevice().measure(study.ask().spec)), "b")
    study.requeue()
    names = [extended_study(study, ("", "b"), Objective("pareto", devices=2)) for _ in range(2)]
    assert names == ["search-2", "search-3"]
