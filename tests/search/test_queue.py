import io

import pandas as pd
import pytest
from rich.console import Console

from nas.accuracy import Estimate
from nas.errors import MixnasError
from nas.executors.base import Failure, Resources, Stage
from nas.executors.local import LocalExecutor
from nas.search.monitor import SearchMonitor
from nas.search.queue import TrialQueue
from nas.testing.fakes import Instant


@pytest.fixture
def queue_of():
    def make(search, interrupted=lambda: False):
        console = Console(file=io.StringIO(), force_terminal=False)
        monitor = SearchMonitor(search.study, search.config.trials, console)
        return TrialQueue(search.runner, search.tables, monitor, interrupted)

    return make


def test_references_come_first_and_trials_follow(bench, queue_of):
    queue = queue_of(bench(wanted=4, references=["mixnet_s"]))
    assert not queue.finished
    assert list(queue.take(waiting=0, running=0, workers=1)) == ["mixnet_s", 0, 1]
    assert queue.take(waiting=0, running=3, workers=1) == {}
    assert not queue.finished


def test_an_executor_drains_a_search(bench, queue_of, monkeypatch):
    search = bench(wanted=5, references=["mixnet_s"])
    queue = queue_of(search)
    with LocalExecutor(Instant(), Resources(2)) as executor:
        assert executor.recover(queue) == []
        executor.drain(queue)
    assert queue.finished
    table = search.study.table()
    assert list(table["state"]) == ["complete"] * 5
    assert [row["name"] for row in search.references.rows] == ["mixnet_s"]
    said = queue.monitor.console.file.getvalue().splitlines()
    assert said.pop(0) == "[0/5] measuring"
    assert len(said) == 5
    assert said[-1].startswith("[5/5] trial ")


def test_tables_are_written_now_and_then(bench, queue_of, monkeypatch):
    search = bench(wanted=3)
    queue = queue_of(search)
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    tasks = queue.take(0, 0, 2)
    queue.finish(0, Instant().estimate(tasks[0].spec, 5))
    path = search.directory.path / "trials.csv"
    assert list(pd.read_csv(path)["state"]) == ["complete", "running", "running"]
    now = 109.0
    queue.finish(1, Instant().estimate(tasks[1].spec, 5))
    assert list(pd.read_csv(path)["state"]) == ["complete", "running", "running"]
    now = 111.0
    queue.finish(2, Failure("a bug"))
    assert list(pd.read_csv(path)["state"]) == ["complete", "complete", "fail"]


def test_what_is_stopped_early_is_pruned_with_its_reason(bench, queue_of):
    search = bench(wanted=3, references=["mixnet_s"])
    queue = queue_of(search)
    queue.take(0, 0, 1)
    queue.give_up(0, Stage(Estimate(0.25, 0.1, 0.0, 5), 2, False))
    queue.give_up("mixnet_s", Stage(Estimate(0.25, 0.1, 0.0, 5), 1, False))
    table = search.study.table()
    assert table["state"][0] == "pruned"
    assert table["reason"][0] == "given up after stage 2 with 0.25: others were better (ASHA)"
    assert [row["reason"] for row in search.references.rows] == ["stopped early"]


def test_ctrl_c_is_heard_although_a_library_swallowed_it(bench, queue_of):
    queue = queue_of(bench(), interrupted=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        queue.take(0, 0, 1)


def test_a_search_that_gets_nowhere_is_ended_by_its_queue(bench, queue_of):
    search = bench(wanted=50)
    queue = queue_of(search)

    def fail_for_ever():
        while True:
            for key in queue.take(0, 0, 1):
                queue.finish(key, Failure("a bug"))

    with pytest.raises(MixnasError, match="8 trials ended without a result"):
        fail_for_ever()


def test_trials_are_adopted_and_references_are_not(bench, queue_of):
    search = bench(references=["mixnet_s"])
    search.runner.begin(1)
    search.runner.running.clear()
    queue = queue_of(search)
    assert not queue.adopt([0, "mixnet_s"])
    assert search.runner.running == {}
    assert queue.adopt([0])
    assert list(search.runner.running) == [0]


def test_trials_that_the_study_does_not_have_are_not_adopted(bench, queue_of):
    assert not queue_of(bench()).adopt([2])


def test_references_wait_until_adopted_trials_have_ended(bench, queue_of):
    search = bench(references=["mixnet_s"])
    search.runner.begin(1)
    search.runner.running.clear()
    queue = queue_of(search)
    assert queue.adopt([0])
    assert queue.take(waiting=0, running=1, workers=1) == {}
    queue.finish(0, Failure("a bug"))
    assert "mixnet_s" in queue.take(waiting=0, running=0, workers=1)


def test_a_hopeless_search_ends_with_the_trial_that_shows_it(bench, queue_of):
    search = bench(wanted=99)
    queue = queue_of(search)
    keys = list(queue.take(waiting=0, running=0, workers=10))
    for key in keys[:7]:
        queue.finish(key, Failure("a bug"))
    with pytest.raises(MixnasError, match="8 trials ended without a result"):
        queue.finish(keys[7], Failure("a bug"))
