import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest
import torch

from nas.accuracy import Estimate, EstimateError
from nas.executors.base import Failure, Resources, Stage, Task, default_resources
from nas.executors.local import LocalExecutor
from nas.machine import machine_for, name_here
from nas.spec import load_network
from nas.testing.fakes import Scripted
from nas.units import GIBIBYTE
from tests.conftest import ROOT


class Telling:
    """Says where it runs: the loss is the number of its process."""

    stages = 3

    def fingerprint(self):
        return {"estimator": "telling"}

    def estimates(self, spec, seed):
        for stage in (1, 2, 3):
            if seed == 13 and stage == 2:
                raise EstimateError("the second stage went wrong")
            if seed == 14 and stage == 3:
                return
            if seed == 666 and stage == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Estimate(stage / 10, os.getpid(), 0.0, seed)

    def estimate(self, spec, seed):
        *_, last = self.estimates(spec, seed)
        return last


class Bound:
    """Says which GPUs its process sees, by the loss; fails as a lost GPU does for seed 13."""

    placement = SimpleNamespace(on="cuda:1")

    def __init__(self):
        self.seen = None

    def __setstate__(self, state):
        # The environment when the estimator arrives, before which torch must not look for GPUs.
        self.seen = os.environ.get("CUDA_VISIBLE_DEVICES")

    def __getstate__(self):
        return {"seen": None}

    def fingerprint(self):
        return {}

    def estimate(self, spec, seed):
        if seed == 13:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if seed == 14:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert name_here("cuda:1") == "cuda"
        return Estimate(0.5, float(self.seen), 0.0, os.getpid(), score=0.5)


class SlowToCome(Scripted):
    """Takes long to arrive in a worker, as one that imports torch does."""

    def __reduce__(self):
        return arrive_late, ()


def arrive_late():
    time.sleep(2)
    return Scripted()


class NeverToCome(Scripted):
    """Cannot be loaded in a worker, as when a file is missing there."""

    def __reduce__(self):
        return do_not_arrive, ()


def do_not_arrive():
    raise FileNotFoundError("weights.pt")


SPEC = load_network("mixnet_s")


def tasks(*seeds):
    return {seed: Task(SPEC, seed) for seed in seeds}


def results_of(estimator, shape, *seeds):
    with LocalExecutor(estimator, shape) as executor:
        return dict(executor.run(tasks(*seeds)))


def workers_of_this_process():
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end at any moment
            if process.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(
                process.cmdline()
            ):
                found.append(process)
    return found


def test_every_task_has_one_result():
    with LocalExecutor(Scripted(), Resources(2)) as executor:
        results = dict(executor.run(tasks(*range(10))))
        again = dict(executor.run(tasks(3)))
        assert (executor.running, executor.free) == (0, 2)
    assert {key: result.accuracy for key, result in results.items()} == {
        seed: seed / 100 for seed in range(10)
    }
    assert again[3].accuracy == 0.03


def test_each_worker_sees_one_gpu():
    with LocalExecutor(Bound(), Resources(4, gpus=("5", "7"))) as executor:
        found = dict(executor.run(tasks(*range(8))))
    by_process = {result.seed: result.loss for result in found.values()}
    assert sorted(by_process.values()) == [5, 5, 7, 7]


def test_a_lost_gpu_costs_its_worker_only():
    with LocalExecutor(Bound(), Resources(1, gpus=("5",))) as executor:
        found = dict(executor.run(tasks(1, 13, 2, 14, 3)))
    assert found[13] == Failure(
        "RuntimeError: CUDA error: an illegal memory access was encountered", died=True
    )
    assert found[14] == Failure("OutOfMemoryError: CUDA out of memory")
    assert found[1].seed != found[2].seed == found[3].seed


def test_failures_are_results_with_reasons():
    results = results_of(Scripted(), Resources(1), 1, 13, 14, 16, 17, 19)
    assert results[13] == Failure("the training loss is nan in epoch 1")
    assert results[14] == Failure("RuntimeError: a bug")
    assert results[16] == Failure("the accuracy is nan, but must lie between 0 and 1")
    assert results[19] == Failure("the accuracy is 94.3, but must lie between 0 and 1")
    assert results[17] == Failure("out of memory")
    assert isinstance(results[1], Estimate)


def test_an_estimator_that_cannot_be_loaded_says_why():
    results = results_of(NeverToCome(), Resources(2), 1, 2)
    reason = "the estimator cannot be loaded: FileNotFoundError: weights.pt"
    assert results == {1: Failure(reason), 2: Failure(reason)}


def test_a_dying_worker_costs_its_own_task_only_and_says_how_it_died():
    results = results_of(Scripted(), Resources(2), 1, 666, 2, 11, 12, 3, 4)
    died = "the worker process died: "
    assert results[666] == Failure(f"{died}signal 9 (as when memory runs out)", died=True)
    assert results[11] == Failure(f"{died}signal 11", died=True)
    assert results[12] == Failure(f"{died}exit code 7", died=True)
    assert all(isinstance(results[seed], Estimate) for seed in (1, 2, 3, 4))


def test_a_worker_that_dies_while_idle_costs_nothing():
    with LocalExecutor(Scripted(), Resources(1)) as executor:
        dict(executor.run(tasks(1)))
        (process,) = workers_of_this_process()
        process.kill()
        process.wait(10)
        results = dict(executor.run(tasks(2, 3)))
    assert {key: result.accuracy for key, result in results.items()} == {2: 0.02, 3: 0.03}


def test_a_task_that_hangs_is_ended_and_the_others_go_on():
    results = results_of(Scripted(), Resources(2, seconds=1), 1, 15, 2, 3)
    assert results[15] == Failure("it took longer than 1 s (--trial-timeout)")
    assert all(isinstance(results[seed], Estimate) for seed in (1, 2, 3))


def test_the_time_of_a_task_does_not_count_the_start_of_its_process():
    results = results_of(SlowToCome(), Resources(1, seconds=1), 1, 2)
    assert all(isinstance(result, Estimate) for result in results.values())


def test_a_task_that_takes_too_much_memory_is_ended_with_its_reason():
    results = results_of(Scripted(), Resources(1, memory=GIBIBYTE), 1, 18, 2)
    assert isinstance(results[18], Failure)
    assert results[18].reason.startswith("out of memory: it took 1.")
    assert "may take 1.0 GiB (use fewer --workers to leave more for each)" in results[18].reason
    assert all(isinstance(results[seed], Estimate) for seed in (1, 2))


def test_workers_share_the_memory_evenly_unless_told_otherwise():
    assert Resources(4).allowance * 4 < psutil.virtual_memory().total
    assert Resources(1).allowance == pytest.approx(4 * Resources(4).allowance, rel=1e-6)
    assert Resources(4, memory=5).allowance == 5
    workers, threads = default_resources()
    assert workers >= 1
    assert threads >= 1


def test_more_tasks_than_workers_are_refused():
    with LocalExecutor(Scripted(), Resources(1)) as executor:
        executor.submit("one", Task(SPEC, 1))
        with pytest.raises(ValueError, match="all workers are busy"):
            executor.submit("two", Task(SPEC, 2))
        ((key, stage),) = executor.wait()
        assert (key, stage) == ("one", Stage(Estimate(0.01, 0.0, 0.0, 1)))
        assert executor.wait() == []


def test_stages_come_one_by_one_and_wait_for_an_answer():
    with LocalExecutor(Telling(), Resources(1)) as executor:
        executor.submit("a", Task(SPEC, 1))
        seen = []
        while executor.running:
            for key, stage in executor.wait():
                seen.append((key, stage.number, stage.last, stage.result.accuracy))
                if not stage.last:
                    executor.proceed(key)
    assert seen == [("a", 1, False, 0.1), ("a", 2, False, 0.2), ("a", 3, True, 0.3)]


def test_between_two_stages_the_machine_may_measure():
    """Who decides whether a network goes on may measure another one first, or never answer."""
    with LocalExecutor(Telling(), Resources(1)) as executor:
        executor.submit("a", Task(SPEC, 1))
        ((_, stage),) = executor.wait()
        assert not stage.last
        measured = threading.Event()

        def measure():
            with machine_for("measuring"):
                measured.set()

        threading.Thread(target=measure, daemon=True).start()
        assert measured.wait(20)
        executor.proceed("a")
        ((_, stage),) = executor.wait()
        assert stage.number == 2


def test_a_task_is_given_up_between_stages_and_its_worker_is_used_again():
    with LocalExecutor(Telling(), Resources(1)) as executor:
        executor.submit("bad", Task(SPEC, 1))
        ((_, first),) = executor.wait()
        executor.proceed("bad", False)
        assert executor.running == 0
        executor.submit("next", Task(SPEC, 2))
        ((key, stage),) = executor.wait()
        assert (key, stage.number, stage.result.seed) == ("next", 1, 2)
        assert stage.result.loss == first.result.loss
        results = {}
        executor.proceed("next")
        while executor.running:
            for key, stage in executor.wait():
                results[key] = stage.result
                if not stage.last:
                    executor.proceed(key)
    assert results["next"].accuracy == 0.3


def test_a_stage_that_goes_wrong_is_the_last_one():
    results = results_of(Telling(), Resources(2), 1, 13, 14, 666)
    assert results[1].accuracy == 0.3
    assert results[13] == Failure("the second stage went wrong")
    assert results[14] == Failure("the estimator ended after 2 of 3 stages")
    assert results[666].reason.startswith("the worker process died: signal 9")


def test_a_late_stage_is_not_told_together_with_the_end_of_its_task():
    with LocalExecutor(Telling(), Resources(1, seconds=0.5)) as executor:
        executor.submit("late", Task(SPEC, 1))
        ((key, stage),) = executor.wait()
        assert (key, stage.last) == ("late", False)
        time.sleep(1)
        executor.proceed("late")
        (told,) = executor.wait()
        assert told[0] == "late"
        assert isinstance(told[1].result, Estimate | Failure)


def test_workers_end_with_a_parent_that_was_killed():
    code = (
        "import os, signal\n"
        "from nas.executors.local import LocalExecutor\n"
        "from nas.executors.base import Resources\n"
        "from tests.executors.test_local import Scripted, tasks\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor(Scripted(), Resources(2))\n"
        "    next(executor.run(tasks(15, 1)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The pipe is held open by every process that is left, so this waits for the last of them.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_stopping_kills_the_workers_at_once():
    executor = LocalExecutor(Scripted(), Resources(2))
    running = executor.run(tasks(15, 1))
    assert next(running)[0] == 1
    assert workers_of_this_process()
    executor.stop()
    assert executor.running == 0
    assert workers_of_this_process() == []


def test_ctrl_c_is_not_for_the_workers():
    with LocalExecutor(Scripted(), Resources(1)) as executor:
        dict(executor.run(tasks(1)))
        (process,) = workers_of_this_process()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.is_running()
        executor.submit("hangs", Task(SPEC, 15))
        threading.Timer(0.5, process.send_signal, [signal.SIGINT]).start()
        threading.Timer(1.5, process.kill).start()
        ((key, stage),) = executor.wait()
    assert key == "hangs"
    assert "signal 9" in stage.result.reason


def test_ctrl_c_while_a_worker_begins_is_not_for_it():
    with LocalExecutor(SlowToCome(), Resources(1)) as executor:
        executor.submit("one", Task(SPEC, 1))
        for _ in range(10):
            for process in psutil.Process().children():
                if "spawn_main" in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        ((key, stage),) = executor.wait()
    assert (key, stage.result.accuracy) == ("one", 0.01)
