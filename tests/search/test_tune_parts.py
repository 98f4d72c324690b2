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


def fail(callback, times):
    callback.on_trial_recover(0, [], SimpleNamespace(num_failures=times))


def test_a_trial_is_restarted_after_a_pause_that_grows(clock):
    callback = tune.PatientRestarts()
    for failures in (1, 2, 3, 6):
        fail(callback, failures)
    assert clock.pauses == [1.0, 2.0, 4.0, 10.0]


def test_trials_that_fail_together_share_a_pause(clock):
    callback = tune.PatientRestarts()
    for failures in (1, 1, 1, 2, 2):
        fail(callback, failures)
    assert clock.pauses == [1.0, 2.0]
    clock.now[0] += 60.0
    fail(callback, 1)
    assert clock.pauses == [1.0, 2.0, 1.0]


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


def test_what_tune_can_go_on_with_is_adopted(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    monkeypatch.setattr(tune.tune.Tuner, "can_restore", lambda folder: True)
    executor = tune.TuneExecutor(Instant(), Resources(1), 0, "run")
    (tmp_path / "ray" / "run").mkdir()
    (tmp_path / "ray" / "run" / "live.json").write_text('{"a": 1, "b": 4}')
    queue = Queue()
    assert executor.recover(queue) == [1, 4] == list(queue.adopted)
