"""The process that judges networks: it takes tasks from a pipe and sends results back."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from nas.accuracy.base import (
    Estimate,
    EstimateError,
    Estimator,
    in_stages,
    max_score_of,
    number_of_stages,
)
from nas.machine import machine_for
from nas.spec import NetworkSpec


@dataclass(frozen=True)
class Failure:
    """A network that could not be judged, and why.

    Attributes:
        reason: in words.
        died: whether the process that judged it ended; what ended it may have been another cause.
    """

    reason: str
    died: bool = False


Result = Estimate | Failure


@dataclass(frozen=True)
class Task:
    """One network to judge."""

    spec: NetworkSpec
    seed: int


@dataclass(frozen=True)
class Stage:
    """What one stage of an estimate showed.

    Attributes:
        result: the estimate, or why there is none.
        number: of the stage, from 1 on.
        last: whether the task is done with it.
    """

    result: Result
    number: int = 1
    last: bool = True


def work(connection: Connection, pickled: bytes, threads: int) -> None:
    """Judge what comes until the pipe is closed or the parent is gone.

    A task is answered by True when it begins, then by its stages; after every stage but the last
    the parent answers whether to go on.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for what is still to be imported
    estimator = _loaded(pickled)
    if "torch" in sys.modules:  # the estimator has brought it along
        sys.modules["torch"].set_num_threads(threads)
    first = True
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(True)
        for stage in _while_training(_judged(estimator, task)):
            connection.send(stage)
            if not stage.last and not connection.recv():
                break
        gc.collect()  # a network's cycles would otherwise stay until the next one
        if first:
            gc.freeze()  # what was imported stays; to look through it takes 60 ms each time
            first = False


def _while_training(stages: Iterator[Stage]) -> Iterator[Stage]:
    """Let nothing measure on this machine while a stage is computed.

    Between two stages it may: who decides whether to go on may measure first, or never answer.
    """
    while True:
        with machine_for("training"):
            stage = next(stages, None)
        if stage is None:
            return
        yield stage


@dataclass(frozen=True)
class _Unloadable:
    """Stands in for an estimator that does not arrive, so that trials say why."""

    reason: str

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        raise EstimateError(self.reason)


def _loaded(pickled: bytes) -> Estimator:
    try:
        # From the process that started this one, as all that `multiprocessing` brings.
        estimator: Estimator = pickle.loads(pickled)  # noqa: S301
    except Exception as error:
        return _Unloadable(f"the estimator cannot be loaded: {type(error).__name__}: {error}")
    return estimator


def _end_with_parent() -> None:
    """End this process when its parent is gone, as after kill -9; it would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _impossible(estimate: Estimate, max_score: float | None) -> str | None:
    """Say what is wrong with an estimate's numbers, or None."""
    if estimate.accuracy is not None and not 0 <= estimate.accuracy <= 1:
        return f"the accuracy is {estimate.accuracy:g}, and must be from 0 to 1"
    if not math.isfinite(estimate.score):
        return f"the score is {estimate.score}"
    if max_score is not None and not 0 <= estimate.score <= max_score:
        return f"the score is {estimate.score:g}, and must be from 0 to {max_score:g}"
    return None


def _judged(estimator: Estimator, task: Task) -> Iterator[Stage]:
    """Yield the stages of one network; whatever goes wrong ends it with a `Failure`."""
    last, number = number_of_stages(estimator), 0
    try:
        for number, estimate in enumerate(in_stages(estimator, task.spec, task.seed), start=1):
            wrong = _impossible(estimate, max_score_of(estimator))
            if wrong:
                yield Stage(Failure(wrong), number)
                return
            yield Stage(estimate, number, number >= last)
            if number >= last:
                return
        yield Stage(Failure(f"the estimator ended after {number} of {last} stages"), number + 1)
    except EstimateError as error:
        yield Stage(Failure(str(error)), number + 1)
    except MemoryError:
        yield Stage(Failure("out of memory"), number + 1)
    except Exception as error:  # a bug in one network's training must not end the search
        yield Stage(Failure(f"{type(error).__name__}: {error}"), number + 1)
