"""Parts of the Tune executor that need no cluster."""

import json
from dataclasses import fields
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from nas.accuracy.base import Estimate
from nas.executors.base import Failure, Resources
from nas.search import tune
from nas.testing.executors import FixedQueue, tasks
from nas.testing.fakes import Instant

LIVE = json.dumps({"a": {"key": 1}, "b": {"key": 4}})


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(tune, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def pause_before(restarts, key, clock):
    """Let a task die; return the seconds until it starts again."""
    assert restarts.add({"key": key})
    before = clock.now
    while (config := restarts.due()) is None:
        clock.now += 0.5
    assert config == {"key": key}
    return clock.now - before


def test_a_task_is_restarted_after_a_pause_that_grows(clock):
    restarts = tune.Restarts()
    pauses = [pause_before(restarts, 7, clock) for _ in range(tune.RESTARTS)]
    assert pauses == [1, 2, 4, 8, 16, 20, 20, 20]
    assert not restarts.add({"key": 7})
    assert len(restarts) == 0
    assert pause_before(restarts, 8, clock) == 1  # deaths of others do not count


def test_tasks_that_die_together_wait_together(clock):
    restarts = tune.Restarts()
    assert all(restarts.add({"key": key}) for key in (1, 2, 3))
    assert (restarts.due(), len(restarts)) == (None, 3)
    clock.now += 1
    assert [restarts.due()["key"] for _ in range(3)] == [1, 2, 3]
    assert restarts.due() is None


def test_a_trial_of_tune_that_dies_is_followed_by_another(clock):
    queue = FixedQueue(tasks(1, 2))
    search = tune.StudySearch(queue, {}, workers=2)
    first, second = search.suggest("a"), search.suggest("b")
    search.on_trial_complete("a", error=True)
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
    for number in range(tune.RESTARTS + 1):
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
