"""Parts of the Tune executor that need no cluster."""

import json
from dataclasses import fields
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from nas.accuracy.base import Estimate
from nas.executors import ray_restarts
from nas.executors.base import Failure, Resources
from nas.search import tune
from nas.testing.executors import FixedQueue, tasks
from nas.testing.fakes import Instant

LIVE = json.dumps({"a": {"key": 1}, "b": {"key": 4}})


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(ray_restarts, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_trial_of_tune_that_dies_is_followed_by_another(clock, capsys):
    queue = FixedQueue(tasks(1, 2))
    search = tune.StudySearch(queue, {}, workers=2)
    first, second = search.suggest("a"), search.suggest("b")
    search.on_trial_complete("a", error=True)
    assert capsys.readouterr().err == ("mixnet_s: its worker or its node died; it starts again\n")
    assert search.suggest("c") is None  # nothing else is left, and the task waits
    clock.now += 1
    assert search.suggest("c") == first
    for trial, config in (("b", second), ("c", first)):
        accuracy = {"accuracy": config["seed"] / 100, "score": 0.5}
        rest = {f.name: None for f in fields(Estimate)} | accuracy
        search.on_trial_complete(trial, {**rest, "failure": None, "stage": 1, "last": True})
    assert {key: result.accuracy for key, result in queue.results.items()} == {1: 0.01, 2: 0.02}
    assert search.suggest("d") == "FINISHED"


def test_a_task_fails_if_whatever_works_on_it_dies(clock):
    queue = FixedQueue(tasks(1))
    search = tune.StudySearch(queue, {}, workers=1)
    for number in range(ray_restarts.RESTARTS + 1):
        assert queue.results == {}
        assert search.suggest(f"{number}")["key"] == 1
        search.on_trial_complete(f"{number}", error=True)
        clock.now += 20
    assert queue.results == {1: Failure("its worker or its node died 9 times")}
    assert search.suggest("more") == "FINISHED"


class Queue:
    """Adopts everything, and notes it."""

    adopted = ()

    def adopt(self, keys):
        self.adopted = tuple(keys)
        return True


@pytest.mark.parametrize("live", ["[1]", "{", "null", '{"a": 1}', '{"a": {}}', LIVE])
def test_nothing_is_adopted_that_tune_cannot_go_on_with(live, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    executor = tune.TuneExecutor(Instant(), Resources(1), 0, "run")
    (tmp_path / "ray" / "run").mkdir()
    (tmp_path / "ray" / "run" / "live.json").write_text(live)
    queue = Queue()
    assert executor.recover(queue) == []
    assert queue.adopted == ()


def test_a_search_of_tune_in_which_nothing_ran_is_not_taken_up(left_behind, monkeypatch):
    """It may have ended, and would end at once."""
    monkeypatch.setattr(tune.tune.Tuner, "restore", lambda *_, **options: pytest.fail("restored"))
    for path in left_behind._folder.iterdir():
        path.write_text("{}")
    assert left_behind.recover(Queue()) == []


@pytest.fixture
def left_behind(tmp_path, monkeypatch):
    """An executor whose earlier process left two trials running, as far as files tell."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    monkeypatch.setattr(tune.tune.Tuner, "can_restore", lambda folder: True)
    executor = tune.TuneExecutor(Instant(), Resources(1), 0, "run")
    (tmp_path / "ray" / "run").mkdir()
    (tmp_path / "ray" / "run" / "live.json").write_text(LIVE)
    return executor


def test_what_tune_can_go_on_with_is_adopted(left_behind, monkeypatch):
    monkeypatch.setattr(tune.tune.Tuner, "restore", lambda folder, *_, **options: object())
    queue = Queue()
    assert left_behind.recover(queue) == [1, 4] == list(queue.adopted)


def test_the_state_of_another_version_starts_over(left_behind, monkeypatch, capsys):
    def restore(folder, *_, **options):
        raise ModuleNotFoundError("No module named 'nas.executors.ray_tune'")

    monkeypatch.setattr(tune.tune.Tuner, "restore", restore)
    queue = Queue()
    assert left_behind.recover(queue) == []
    assert queue.adopted == ()
    assert "cannot restore its state (ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "expected"),
    [
        (16, 0, 0, 8),
        (16, 4, 1, 4),
        (16, 4, 0.5, 8),
        (16, 1, 0.1, 8),
        (3, 8, 1, 1),
        (40, 8, 0.1, 20),
    ],
)
def test_no_more_trials_are_proposed_than_a_cluster_has_room_for(
    cpus, gpus, share, expected, monkeypatch
):
    monkeypatch.setattr(tune, "cluster_cpus", lambda: cpus)
    monkeypatch.setattr(tune, "cluster_gpus", lambda: gpus)
    assert tune.trials_at_once(Resources(100, threads=2), share) == expected
    assert tune.trials_at_once(Resources(2, threads=2), share) == min(2, expected)
