"""Worker processes on this machine.

Trainings run in processes of their own, so that one that dies (out of memory, a crash in native
code), hangs or takes too much memory costs its own trial and no other.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal

import psutil

from nas.accuracy.base import Estimator
from nas.executors.worker import Failure, Result, Stage, Task, work
from nas.machine import usable_cores

GIGABYTE = 1 << 30
_WORKER_GIGABYTES = 1.5  # that a training process takes at the least, torch included
_SHARE = 0.9  # of the machine's memory that all workers together may take
_WATCH = 0.5  # seconds between two looks at memory and time
_BEGINNING = 600.0  # seconds that a process may take to import what it needs
_ENDING = 5.0  # seconds that a process may take to end after its pipe is closed


@dataclass(frozen=True)
class Resources:
    """How the machine is shared out.

    Attributes:
        workers: processes.
        threads: of each.
        seconds: a task may take; None for any time.
        memory: in bytes, that a worker may take; None for an even share of the machine's.
    """

    workers: int
    threads: int = 1
    seconds: float | None = None
    memory: int | None = None

    @property
    def allowance(self) -> int:
        """Bytes that one worker may take."""
        even = int(_SHARE * psutil.virtual_memory().total / self.workers)
        return self.memory or even

    @property
    def node_allowance(self) -> int:
        """Bytes that the one worker may take of a node that is full of its kind."""
        share = min(1.0, self.threads / usable_cores())
        return self.memory or int(_SHARE * psutil.virtual_memory().total * share)


def default_resources() -> tuple[int, int]:
    """Return the workers and threads with the highest throughput.

    Networks of this size train fastest one on each core, since a second thread speeds a small
    layer up by less than twice; memory is what may forbid it.
    """
    cores = usable_cores()
    room = int(psutil.virtual_memory().total / GIGABYTE / _WORKER_GIGABYTES)
    workers = max(1, min(cores, room))
    return workers, max(1, cores // workers)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    key: Any = None
    submitted: float = 0.0
    started: float | None = None  # None until it has imported what it needs
    busy: bool = False


@dataclass
class LocalExecutor:
    """Judges networks in worker processes. Use as a context manager.

    Attributes:
        estimator: sent to the workers.
        resources: how the machine is shared out.
    """

    estimator: Estimator
    resources: Resources
    _workers: list[_Worker] = field(default_factory=list)

    @cached_property
    def _pickled(self) -> bytes:
        return pickle.dumps(self.estimator)

    def __enter__(self) -> LocalExecutor:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the workers at once."""
        self.stop()

    def stop(self) -> None:
        """Stop the workers at once; tasks under way are given up."""
        workers, self._workers = self._workers, []
        for worker in workers:
            _end(worker)

    @property
    def running(self) -> int:
        """How many tasks are under way."""
        return sum(worker.busy for worker in self._workers)

    @property
    def free(self) -> int:
        """How many more tasks can be submitted."""
        return self.resources.workers - self.running

    def submit(self, key: Any, task: Task) -> None:
        """Give a task to a free worker.

        Raises:
            ValueError: when there is none.
        """
        worker = self._idle()
        try:
            worker.connection.send(task)
        except OSError:  # it died while it had nothing to do
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
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work, args=(theirs, self._pickled, self.resources.threads), daemon=True
        )
        resource_tracker.ensure_running()  # it would let interrupts through when it starts
        with _interrupts_held():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        _end(worker)

    def wait(self) -> list[tuple[Any, Stage]]:
        """Wait until stages of tasks are done; nothing comes when no task is under way.

        A stage that is not the last one wants an answer: `proceed`.
        """
        done: list[tuple[Any, Stage]] = []
        while self.running and not done:
            busy = [worker for worker in self._workers if worker.busy]
            ready = wait([worker.connection for worker in busy], timeout=_WATCH)
            heard = [worker for worker in busy if worker.connection in ready]
            done = [told for worker in heard for told in self._received(worker)]
            done += self._overdue([worker for worker in busy if worker not in heard])
        return done

    def proceed(self, key: Any, further: bool = True) -> None:
        """Answer a stage of a task: go on with the next one, or give the task up."""
        worker = next(worker for worker in self._workers if worker.busy and worker.key == key)
        worker.busy = further
        with suppress(OSError):  # it died meanwhile; the next `wait` tells
            worker.connection.send(further)

    def _received(self, worker: _Worker) -> list[tuple[Any, Stage]]:
        try:
            stage: Stage | Literal[True] = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(_ENDING)  # killed too soon, it could not say what ended it
            self._drop(worker)
            return [(worker.key, Stage(Failure(_death(worker.process), died=True)))]
        if stage is True:
            worker.started = time.monotonic()
            return []
        worker.busy = not stage.last
        return [(worker.key, stage)]

    def _overdue(self, workers: Iterable[_Worker]) -> list[tuple[Any, Stage]]:
        """End workers that take too long or too much memory."""
        ended: list[tuple[Any, Stage]] = []
        for worker in workers:
            reason = self._overrun(worker)
            if reason:
                self._drop(worker)
                ended.append((worker.key, Stage(Failure(reason))))
        return ended

    def _overrun(self, worker: _Worker) -> str | None:
        limit, started = self.resources.seconds, worker.started
        if limit is not None and started is not None and time.monotonic() - started > limit:
            return f"it took longer than {limit:g} s (--trial-timeout)"
        if started is None and time.monotonic() - worker.submitted > _BEGINNING:
            return f"its worker did not begin within {_BEGINNING:g} s"
        try:
            used = psutil.Process(worker.process.pid).memory_info().rss
        except psutil.Error:
            return None  # it has just ended; its pipe tells
        if used > self.resources.allowance:
            return (
                f"out of memory: it took {used / GIGABYTE:.1f} GiB, a worker may take "
                f"{self.resources.allowance / GIGABYTE:.1f} GiB (fewer --workers leave more each)"
            )
        return None

    def run(self, tasks: Mapping[Any, Task]) -> Iterator[tuple[Any, Result]]:
        """Judge networks and yield (key, result) as they are done."""
        left = dict(tasks)
        while left or self.running:
            while left and self.free:
                key = next(iter(left))
                self.submit(key, left.pop(key))
            for key, stage in self.wait():
                if stage.last:
                    yield key, stage.result
                else:
                    self.proceed(key)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, here for the moment, in a process started meanwhile for ever.

    It reaches the whole process group, also one that is still importing what it needs.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


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
