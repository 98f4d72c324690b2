import os
import signal
import subprocess
import sys
import time

import pytest

from nas.accuracy import Estimate, EstimateError
from nas.executors.local import Failure, LocalExecutor, Task
from nas.spec import load_network
from tests.conftest import ROOT


class Scripted:
    """Does what the seed says; stands in for a training in worker processes."""

    def fingerprint(self):
        return {"estimator": "scripted"}

    def estimate(self, spec, seed):
        if seed == 666:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 13:
            raise EstimateError("the training loss is nan in epoch 1")
        if seed == 14:
            raise RuntimeError("a bug")
        if seed == 15:
            time.sleep(60)
        return Estimate(seed / 100, 0.0, 0.0, seed)


SPEC = load_network("mixnet_s")


def tasks(*seeds):
    return {seed: Task(SPEC, seed) for seed in seeds}


def test_every_task_has_one_result():
    with LocalExecutor(Scripted(), workers=2) as executor:
        results = dict(executor.run(tasks(*range(10))))
        again = dict(executor.run(tasks(3)))
    assert {key: result.accuracy for key, result in results.items()} == {
        seed: seed / 100 for seed in range(10)
    }
    assert again[3].accuracy == 0.03


def test_failures_are_results_with_reasons():
    with LocalExecutor(Scripted(), workers=1) as executor:
        results = dict(executor.run(tasks(1, 13, 14)))
    assert results[13] == Failure("the training loss is nan in epoch 1")
    assert results[14] == Failure("RuntimeError: a bug")
    assert isinstance(results[1], Estimate)


def test_a_dying_worker_costs_its_own_task_only():
    with LocalExecutor(Scripted(), workers=2) as executor:
        results = dict(executor.run(tasks(1, 666, 2, 3, 4)))
    assert set(results) == {1, 666, 2, 3, 4}
    assert isinstance(results[666], Failure)
    assert "worker process died" in results[666].reason
    assert all(isinstance(results[seed], Estimate) for seed in (1, 2, 3, 4))


def test_a_worker_that_dies_while_idle_costs_nothing():
    with LocalExecutor(Scripted(), workers=1) as executor:
        dict(executor.run(tasks(1)))
        (process,) = executor._pool._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        results = dict(executor.run(tasks(2, 3)))
    assert {key: result.accuracy for key, result in results.items()} == {2: 0.02, 3: 0.03}


def test_workers_end_with_a_parent_that_was_killed():
    code = (
        "import os, signal\n"
        "from nas.executors.local import LocalExecutor\n"
        "from tests.executors.test_local import Scripted, tasks\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor(Scripted(), workers=1)\n"
        "    next(executor.run(tasks(1, 15)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The pipe is held open by every process that is left.
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 40


def test_stopping_kills_the_workers_at_once():
    executor = LocalExecutor(Scripted(), workers=1)
    running = executor.run(tasks(1, 15))
    next(running)
    started = time.monotonic()
    executor.stop()
    with pytest.raises(StopIteration):
        running.close() or next(running)
    assert time.monotonic() - started < 10
