"""Worker processes on this machine.

Trainings run in processes of their own, so that one that dies (out of memory, a crash in native
code) costs its own trial and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from nas.accuracy.base import Estimate, EstimateError, Estimator
from nas.latency.machine import machine_for
from nas.spec import NetworkSpec

ATTEMPTS = 2  # a dying worker takes its neighbours' tasks along; those get another go


@dataclass(frozen=True)
class Failure:
    """A network that could not be judged, and why."""

    reason: str


@dataclass(frozen=True)
class Task:
    """One network to judge."""

    spec: NetworkSpec
    seed: int


def _start_worker(threads: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this process when its parent is gone, as after kill -9; it would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _judge(estimator: Estimator, task: Task) -> Estimate | Failure:
    try:
        return estimator.estimate(task.spec, task.seed)
    except EstimateError as error:
        return Failure(str(error))
    except MemoryError:
        return Failure("out of memory")
    except Exception as error:  # a bug in one network's training must not end the search
        return Failure(f"{type(error).__name__}: {error}")


class LocalExecutor:
    """Judges networks in a pool of worker processes. Use as a context manager."""

    def __init__(self, estimator: Estimator, workers: int, threads: int = 1) -> None:
        """Set the pool's shape; processes start with the first tasks.

        Args:
            estimator: sent to the workers.
            workers: processes.
            threads: of torch, in each.
        """
        self.estimator = estimator
        self.workers = workers
        self.threads = threads
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> LocalExecutor:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the workers at once."""
        self.stop()

    def stop(self) -> None:
        """Stop the workers at once; tasks under way are given up."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()

    def _submit(self, task: Task) -> Future[Estimate | Failure]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self.threads,),
            )
        return self._pool.submit(_judge, self.estimator, task)

    def run(self, tasks: Mapping[Any, Task]) -> Iterator[tuple[Any, Estimate | Failure]]:
        """Judge networks and yield (key, result) as they are done.

        A worker that dies takes the whole pool along; the tasks left are then tried once more one
        at a time, so that only the one that kills its worker fails. Nothing measures on this
        machine meanwhile.
        """
        with machine_for("training"):
            yield from self._run(dict(tasks))

    def _run(self, left: dict[Any, Task]) -> Iterator[tuple[Any, Estimate | Failure]]:
        try:
            futures = {self._submit(task): key for key, task in left.items()}
            for future in as_completed(futures):
                key = futures[future]
                result = future.result()
                del left[key]
                yield key, result
            return
        except BrokenProcessPool:
            self.stop()
        for key, task in left.items():
            yield key, self._alone(task)

    def _alone(self, task: Task) -> Estimate | Failure:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._submit(task).result()
            except BrokenProcessPool:
                self.stop()
        return Failure("the worker process died (out of memory, or a crash in native code)")
