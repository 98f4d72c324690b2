"""Parts of the Tune executor that need no cluster."""

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from nas.executors.base import Resources
from nas.search import tune
from nas.testing.fakes import Instant


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves; the list of pauses."""
    now, pauses = [100.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(tune, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return SimpleNamespace(now=now, pauses=pauses)


def fail(callback, times, trial="a"):
    callback.on_trial_recover(0, [], SimpleNamespace(num_failures=times, trial_id=trial))


def test_a_trial_is_restarted_after_a_pause_that_grows(clock):
    callback = tune.PatientRestarts()
    for failures in (1, 2, 3, 6):
        fail(callback, failures)
    assert clock.pauses == [1.0, 2.0, 4.0, 20.0]


def test_trials_that_fail_together_share_a_pause(clock):
    callback = tune.PatientRestarts()
    for failures, trial in ((1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b")):
        fail(callback, failures, trial)
    assert clock.pauses == [1.0, 2.0]
    clock.now[0] += 60.0
    fail(callback, 1, "d")
    assert clock.pauses == [1.0, 2.0, 1.0]


def test_no_trial_shares_a_pause_twice(clock):
    callback = tune.PatientRestarts()
    fail(callback, 5, "a")
    for failures in (1, 2, 3, 4):  # it is given to the dead actor that "a" has just left
        fail(callback, failures, "b")
    assert clock.pauses == [16.0, 2.0, 4.0, 8.0]


class Queue:
    """Adopts everything, and notes it."""

    adopted = ()

    def adopt(self, keys):
        self.adopted = tuple(keys)
        return True


@pytest.mark.parametrize("live", ["[1]", "{", "null", json.dumps({"a": 1})])
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
    (tmp_path / "ray" / "run" / "live.json").write_text('{"a": 1, "b": 4}')
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
