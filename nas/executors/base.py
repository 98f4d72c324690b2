"""The contract of executors: they take networks from a queue, evaluate them and report back.

A search owns a `TaskQueue` and has an `Executor` drain it. The executor calls, in this order:

1. `TaskQueue.adopt`, from `Executor.recover`, with the tasks that an earlier process left running
   and that this executor can continue;
2. `TaskQueue.take` whenever workers may be idle, until `TaskQueue.finished` holds and nothing runs;
3. `TaskQueue.finish` with the result of a task, or `TaskQueue.give_up` if the executor stopped it
   early, exactly once for every task taken or adopted.

`nas.testing.executors` has the tests that every executor must pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nas.accuracy.base import Estimate
from nas.cost import count
from nas.machine import usable_cores, usable_memory
from nas.named import AnyNetwork
from nas.spec import NetworkSpec
from nas.units import GIBIBYTE

Key = Any
"""Identifies a task: any hashable value that the queue chooses."""
_WORKER_GIBIBYTES = 1.5  # memory that a training process needs at the least, torch included
MEMORY_SHARE = 0.9
"""Share of the memory of this machine, or of its container, that all workers may take."""


@dataclass(frozen=True)
class Task:
    """One network to evaluate.

    Attributes:
        spec: The network: its spec, or one of timm's.
        seed: Seed of its training.
    """

    spec: AnyNetwork
    seed: int

    @property
    def madds(self) -> float:
        """Multiply-adds of the network; infinite if only building it would tell them."""
        return count(self.spec).madds if isinstance(self.spec, NetworkSpec) else math.inf


@dataclass(frozen=True)
class Failure:
    """A network that could not be evaluated.

    Attributes:
        reason: Why, in words.
        died: Whether the process that evaluated it died; the network need not be the cause.
    """

    reason: str
    died: bool = False


Result = Estimate | Failure
"""What becomes of a task."""


@dataclass(frozen=True)
class Stage:
    """The outcome of one stage of an estimate.

    Attributes:
        result: The estimate, or why there is none.
        number: Number of the stage, from 1 on.
        last: Whether the task is done with it.
    """

    result: Result
    number: int = 1
    last: bool = True


@dataclass(frozen=True)
class Resources:
    """How a machine is shared among worker processes.

    Attributes:
        workers: Number of processes.
        threads: Threads of each process.
        seconds: Wall-clock limit of one task, in seconds; None for no limit.
        memory: Bytes of memory that one worker may take; None for an equal share of the machine's.
        gpus: GPUs that are divided among the workers, by number or UUID; each worker sees one of
            them. Empty if workers see what this process sees.
    """

    workers: int
    threads: int = 1
    seconds: float | None = None
    memory: int | None = None
    gpus: tuple[str, ...] = ()

    @property
    def allowance(self) -> int:
        """Bytes of memory that one worker may take."""
        equal_share = int(MEMORY_SHARE * usable_memory() / self.workers)
        return self.memory or equal_share

    @property
    def node_allowance(self) -> int:
        """Bytes of memory that one worker may take on a node filled with such workers."""
        share = min(1.0, self.threads / usable_cores())
        return self.memory or int(MEMORY_SHARE * usable_memory() * share)


def default_resources() -> tuple[int, int]:
    """Return the numbers of workers and threads with the highest throughput.

    Networks of this size train fastest with one process per core, since a second thread speeds a
    small layer up by less than a factor of two. Only memory may forbid it.
    """
    cores = usable_cores()
    fitting = int(usable_memory() / GIBIBYTE / _WORKER_GIBIBYTES)
    workers = max(1, min(cores, fitting))
    return workers, max(1, cores // workers)


class TaskQueue(Protocol):
    """Hands tasks to an executor and receives their results; see the module for the call order."""

    @property
    def finished(self) -> bool:
        """Whether no task will follow, provided that none of those under way fails."""
        ...

    def take(self, waiting: int, running: int, workers: int) -> Mapping[Key, Task]:
        """Return tasks to run next, the first ones first; none if there is no room.

        Args:
            waiting: Number of tasks that were taken and that no worker has begun.
            running: Number of tasks under way.
            workers: Number of tasks that can run at the same time.
        """
        ...

    def adopt(self, keys: Collection[Key]) -> bool:
        """Continue tasks that an earlier process left running: all of them, or none.

        Returns:
            Whether they are continued; False if one of them is over or unknown.
        """
        ...

    def finish(self, key: Key, result: Result) -> None:
        """Receive the result of a task."""
        ...

    def give_up(self, key: Key, stage: Stage) -> None:
        """Receive the last stage of a task that was stopped early, because others were better."""
        ...


class Executor(Protocol):
    """Evaluates networks in separate processes. Use it as a context manager."""

    def __enter__(self) -> Executor:
        """Return the executor."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Stop everything that still runs."""
        ...

    def recover(self, queue: TaskQueue) -> list[Key]:
        """Adopt the tasks that an earlier process left running; return their keys."""
        ...

    def drain(self, queue: TaskQueue) -> None:
        """Evaluate what the queue hands out until it has finished.

        Raises:
            MixnasError: If the queue raises it, or the executor cannot continue.
        """
        ...
