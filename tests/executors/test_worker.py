"""The process of a worker, driven in this one through a pipe."""

import math
import multiprocessing
import os
import pickle
import threading

import pytest

from nas.accuracy import Estimate
from nas.executors.base import Failure, Stage, Task
from nas.executors.worker import work
from nas.spec import load_network
from nas.testing.fakes import Instant, Scripted, Staged

SPEC = load_network("mixnet_s")


@pytest.fixture
def judge(monkeypatch):
    """Give a worker tasks, and answer every stage but the last; returns the stages."""
    monkeypatch.setattr("gc.freeze", lambda: None)  # of this process, which goes on
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MIXNAS_WAIT_POLICY"):  # the worker sets them
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)

    def call(estimator, *tasks, further=True):
        ours, theirs = multiprocessing.Pipe()
        pickled = estimator if isinstance(estimator, bytes) else pickle.dumps(estimator)
        thread = threading.Thread(target=work, args=(theirs, pickled, 1), daemon=True)
        thread.start()
        stages = []
        for task in tasks:
            ours.send(task)
            assert ours.recv() is True  # it has begun
            while True:
                stages.append(ours.recv())
                if stages[-1].last:
                    break
                ours.send(further)
                if not further:
                    break
        ours.close()
        thread.join(10)
        assert not thread.is_alive()
        return stages

    return call


def test_a_task_is_answered_by_its_estimate(judge):
    (stage,) = judge(Scripted(), Task(SPEC, 7))
    assert stage == Stage(Estimate(0.07, 0.0, 0.0, 7), 1, True)


def test_errors_are_results_and_the_next_task_is_judged(judge):
    stages = judge(Scripted(), *(Task(SPEC, seed) for seed in (13, 14, 17, 5)))
    assert [stage.result for stage in stages[:3]] == [
        Failure("the training loss is nan in epoch 1"),
        Failure("RuntimeError: a bug"),
        Failure("out of memory"),
    ]
    assert stages[3].result == Estimate(0.05, 0.0, 0.0, 5)


def test_stages_are_numbered_and_the_last_is_marked(judge):
    stages = judge(Staged(), Task(SPEC, 0))
    assert [(stage.number, stage.last) for stage in stages] == [(1, False), (2, False), (3, True)]


def test_a_task_ends_when_the_parent_wants_no_further_stage(judge):
    stages = judge(Staged(), Task(SPEC, 0), Task(SPEC, 1), further=False)
    assert [(stage.number, stage.result.seed) for stage in stages] == [(1, 0), (1, 1)]


class Odd(Instant):
    """Gives what the test asks for."""

    def __init__(self, estimate, max_score=1.0):
        super().__init__()
        self.given, self.max_score = estimate, max_score

    def estimate(self, spec, seed):
        return self.given


@pytest.mark.parametrize(
    ("estimate", "max_score", "reason"),
    [
        (Estimate(1.2, 0, 0, 0), 1.0, "the accuracy is 1.2, but must lie between 0 and 1"),
        (Estimate(-0.1, 0, 0, 0), None, "the accuracy is -0.1, but must lie between 0 and 1"),
        (Estimate(None, None, 0, 0), 1.0, "the score is nan"),
        (Estimate(None, None, 0, 0, math.inf), None, "the score is inf"),
        (Estimate(None, None, 0, 0, 1.01), 1.0, "the score is 1.01, but must lie between 0 and 1"),
        (Estimate(None, None, 0, 0, 101.0), 100.0,
         "the score is 101, but must lie between 0 and 100"),
        (Estimate(None, None, 0, 0, -1.0), 100.0,
         "the score is -1, but must lie between 0 and 100"),
    ],
)  # fmt: skip
def test_impossible_figures_are_failures(judge, estimate, max_score, reason):
    (stage,) = judge(Odd(estimate, max_score), Task(SPEC, 0))
    assert stage == Stage(Failure(reason), 1, True)


@pytest.mark.parametrize(
    ("estimate", "max_score"),
    [
        (Estimate(0.0, 0, 0, 0), 1.0),
        (Estimate(1.0, 0, 0, 0), 1.0),
        (Estimate(None, None, 0, 0, 100.0), 100.0),
        (Estimate(None, None, 0, 0, -7.0), None),
    ],
)
def test_figures_at_the_ends_of_their_range_are_results(judge, estimate, max_score):
    (stage,) = judge(Odd(estimate, max_score), Task(SPEC, 0))
    assert stage.result == estimate


def test_an_estimator_that_cannot_be_loaded_says_why_for_every_task(judge):
    stages = judge(b"no pickle", Task(SPEC, 0), Task(SPEC, 1))
    assert len(stages) == 2
    for stage in stages:
        assert stage.result.reason.startswith("the estimator cannot be loaded: UnpicklingError")


def test_the_threads_of_a_worker_sleep_while_they_wait(judge):
    judge(Instant(), Task(SPEC, 0))
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
