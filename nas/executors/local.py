"""Worker processes on this machine.

Networks are trained in separate processes, so that one that dies (out of memory, a crash in native
code), hangs or takes too much memory costs only its own trial.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Literal

import psutil

from nas.accuracy.base import Estimator
from nas.executors.base import Failure, Key, Resources, Result, Stage, Task, TaskQueue
from nas.executors.worker import work
from nas.machine import start_child
from nas.units import GIBIBYTE

_CHECK_SECONDS = 0.5  # between two looks at the memory and time that workers have used
_START_SECONDS = 600.0  # for a process to import what it needs
_EXIT_SECONDS = 5.0  # for a process to end after its pipe was closed


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    gpu: str | None = None  # the only one that it sees
    key: Key = None
    submitted: float = 0.0
    started: float | None = None  # None until it has imported what it needs
    busy: bool = False


@dataclass
class LocalExecutor:
    """Evaluates networks in worker processes on this machine; an `Executor`.

    Attributes:
        estimator: Estimator of accuracy, sent to the workers.
        resources: How the machine is shared among them.
    """

    estimator: Estimator
    resources: Resources
    _workers: list[_Worker] = field(default_factory=list)

    @cached_property
    def _pickled(self) -> bytes:
        return pickle.dumps(self.estimator)

    def __enter__(self) -> LocalExecutor:
        """Return the executor."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the workers at once."""
        self.stop()

    def stop(self) -> None:
        """Stop the workers at once; the tasks under way are abandoned."""
        workers, self._workers = self._workers, []
        for worker in workers:
            _end(worker)

    # -- the contract -----------------------------------------------------------------------

    def recover(self, queue: TaskQueue) -> list[Key]:
        """See `Executor`; worker processes end with the process that started them."""
        return []

    def drain(self, queue: TaskQueue) -> None:
        """See `Executor`; the networks with the most multiply-adds run first."""
        waiting: dict[Key, Task] = {}
        while True:
            waiting.update(queue.take(len(waiting), self.running, self.resources.workers))
            if not waiting and not self.running and queue.finished:
                return
            # The longest first, so that all workers finish at about the same time.
            for key in sorted(waiting, key=lambda key: -waiting[key].madds):
                if not self.free:
                    break
                self.submit(key, waiting.pop(key))
            for key, result in self._finished():
                queue.finish(key, result)

    def run(self, tasks: Mapping[Key, Task]) -> Iterator[tuple[Key, Result]]:
        """Evaluate networks that are known in advance; yield (key, result) as they finish."""
        left = dict(tasks)
        while left or self.running:
            while left and self.free:
                key = next(iter(left))
                self.submit(key, left.pop(key))
            yield from self._finished()

    def _finished(self) -> Iterator[tuple[Key, Result]]:
        """Wait for stages; yield the results of tasks that ended, and continue all others."""
        for key, stage in self.wait():
            if stage.last:
                yield key, stage.result
            else:
                self.proceed(key)

    # -- single tasks -----------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Number of tasks under way."""
        return sum(worker.busy for worker in self._workers)

    @property
    def free(self) -> int:
        """Number of tasks that can be submitted now."""
        return self.resources.workers - self.running

    def submit(self, key: Key, task: Task) -> None:
        """Give a task to an idle worker.

        Raises:
            ValueError: If all workers are busy.
        """
        worker = self._idle()
        try:
            worker.connection.send(task)
        except OSError:  # it died while it was idle
            self._drop(worker)
            worker = self._idle()
            worker.connection.send(task)
        worker.key, worker.busy = key, True
        worker.submitted, worker.started = time.monotonic(), None

    def _idle(self) -> _Worker:
        for worker in list(self._workers):
            if not worker.busy:
                if worker.process.is_alive():
                    return worker
                self._drop(worker)
        if len(self._workers) >= self.resources.workers:
            raise ValueError("all workers are busy")
        self._workers.append(self._start())
        return self._workers[-1]

    def _start(self) -> _Worker:
        gpu = self._idlest_gpu()
        process, connection = start_child(work, self._pickled, self.resources.threads, gpu)
        return _Worker(process, connection, gpu)

    def _idlest_gpu(self) -> str | None:
        """Return the GPU with the fewest workers; None if there are none to divide."""
        taken = Counter(worker.gpu for worker in self._workers)
        return min(self.resources.gpus, key=lambda gpu: taken[gpu], default=None)

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        _end(worker)

    def wait(self) -> list[tuple[Key, Stage]]:
        """Wait until stages of tasks are done; return an empty list if no task is under way.

        A stage that is not the last one must be answered with `proceed`.
        """
        done: list[tuple[Key, Stage]] = []
        while self.running and not done:
            busy = [worker for worker in self._workers if worker.busy]
            ready = wait([worker.connection for worker in busy], timeout=_CHECK_SECONDS)
            answered = [worker for worker in busy if worker.connection in ready]
            done = [stage for worker in answered for stage in self._receive(worker)]
            done += self._end_overdue([worker for worker in busy if worker not in answered])
        return done

    def proceed(self, key: Key, further: bool = True) -> None:
        """Answer a stage of a task: continue with the next one, or stop the task."""
        worker = next(worker for worker in self._workers if worker.busy and worker.key == key)
        worker.busy = further
        with suppress(OSError):  # it has died; the next `wait` reports it
            worker.connection.send(further)

    def _receive(self, worker: _Worker) -> list[tuple[Key, Stage]]:
        try:
            stage: Stage | Literal[True] = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(_EXIT_SECONDS)  # killed too soon, its exit code would be ours
            self._drop(worker)
            return [(worker.key, Stage(Failure(_death(worker.process), died=True)))]
        if stage is True:
            worker.started = time.monotonic()
            return []
        worker.busy = not stage.last
        if isinstance(stage.result, Failure) and stage.result.died:
            self._drop(worker)  # its GPU context is lost, and it could evaluate no other network
        return [(worker.key, stage)]

    def _end_overdue(self, workers: Iterable[_Worker]) -> list[tuple[Key, Stage]]:
        """End the workers that have used too much time or memory."""
        ended: list[tuple[Key, Stage]] = []
        for worker in workers:
            reason = self._overrun(worker)
            if reason:
                self._drop(worker)
                ended.append((worker.key, Stage(Failure(reason))))
        return ended

    def _overrun(self, worker: _Worker) -> str | None:
        """Return which limit a worker has exceeded, in words; None if none."""
        limit, started = self.resources.seconds, worker.started
        if limit is not None and started is not None and time.monotonic() - started > limit:
            return f"it took longer than {limit:g} s (--trial-timeout)"
        if started is None and time.monotonic() - worker.submitted > _START_SECONDS:
            return f"its worker did not start within {_START_SECONDS:g} s"
        try:
            memory = psutil.Process(worker.process.pid).memory_info()
        except psutil.Error:
            return None  # it has just ended, and its pipe will say so
        # Pages of mapped images are shared, and the system takes them back when it needs to.
        used = memory.rss - getattr(memory, "shared", 0)
        if used > self.resources.allowance:
            allowance = self.resources.allowance / GIBIBYTE
            return (
                f"out of memory: it took {used / GIBIBYTE:.1f} GiB, but a worker may take "
                f"{allowance:.1f} GiB (use fewer --workers to leave more for each)"
            )
        return None


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _death(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        how = f"signal {-code}" + (" (as when memory runs out)" if code == -9 else "")
    else:
        how = f"exit code {code}"
    return f"the worker process died: {how}"
