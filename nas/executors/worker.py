"""The process that evaluates networks: it receives tasks through a pipe and returns results."""

from __future__ import annotations

import gc
import math
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from nas.accuracy.base import (
    Estimate,
    EstimateError,
    Estimator,
    device_of,
    in_stages,
    max_score_of,
    number_of_stages,
)
from nas.executors.base import Failure, Stage, Task
from nas.imports import own_packages_first, set_library_defaults
from nas.machine import bind_gpu, end_with_parent, machine_for, name_here
from nas.spec import NetworkSpec
from nas.units import number_of

_LOST = ("CUDA error", "cuDNN error", "NCCL error")  # how errors of a GPU that is lost begin


def work(connection: Connection, pickled: bytes, threads: int, gpu: str | None = None) -> None:
    """Evaluate incoming networks until the pipe is closed or the parent is gone.

    A task is answered with True when it begins, then with its stages. After every stage but the
    last one, the parent answers whether to continue.

    Args:
        connection: Pipe to the parent.
        pickled: The estimator.
        threads: Threads of this process.
        gpu: The only GPU that this process may see; None for those that its parent sees.
    """
    end_with_parent()
    own_packages_first()  # before the estimator arrives, which may import them
    set_library_defaults()  # before it imports torch
    if gpu is not None:
        bind_gpu(gpu)  # before the estimator arrives, which imports torch
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries that are imported from here on
    estimator = _loaded(pickled)
    if "torch" in sys.modules:  # the estimator has imported it
        sys.modules["torch"].set_num_threads(threads)
    first = True
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(True)
        for stage in _while_training(_judged(estimator, task), device_of(estimator)):
            connection.send(stage)
            if isinstance(stage.result, Failure) and stage.result.died:
                return
            if not stage.last and not connection.recv():
                break
        gc.collect()  # otherwise a network's reference cycles stay until the next one
        _give_back_memory()
        if first:
            gc.freeze()  # what was imported stays, and scanning it takes 60 ms each time
            first = False


def _while_training(stages: Iterator[Stage], device: str) -> Iterator[Stage]:
    """Keep others from measuring latency on this machine while a stage is computed.

    Between two stages they may: whoever decides whether to continue may measure first, or never
    answer.
    """
    while True:
        with machine_for("training", name_here(device)):
            stage = next(stages, None)
        if stage is None:
            return
        yield stage


@dataclass(frozen=True)
class _Unloadable:
    """Takes the place of an estimator that cannot be loaded, so that trials record the reason."""

    reason: str
    evaluates_timm = True

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        raise EstimateError(self.reason)


def _loaded(pickled: bytes) -> Estimator:
    try:
        # It comes from the parent, as everything that `multiprocessing` sends.
        estimator: Estimator = pickle.loads(pickled)  # noqa: S301
    except Exception as error:
        return _Unloadable(f"the estimator cannot be loaded: {type(error).__name__}: {error}")
    return estimator


def _invalid(estimate: Estimate, max_score: float | None) -> str | None:
    """Return what is wrong with an estimate's numbers, in words; None if nothing is."""
    if estimate.accuracy is not None and not 0 <= estimate.accuracy <= 1:
        return f"the accuracy is {estimate.accuracy:g}, but must lie between 0 and 1"
    if not math.isfinite(estimate.score):
        return f"the score is {estimate.score}"
    if max_score is not None and not 0 <= estimate.score <= max_score:
        return f"the score is {estimate.score:g}, but must lie between 0 and {max_score:g}"
    return None


def _judged(estimator: Estimator, task: Task) -> Iterator[Stage]:
    """Yield the stages of one network; any error ends it with a `Failure`."""
    last, number = number_of_stages(estimator), 0
    try:
        for number, estimate in enumerate(in_stages(estimator, task.spec, task.seed), start=1):
            wrong = _invalid(estimate, max_score_of(estimator))
            if wrong:
                yield Stage(Failure(wrong), number)
                return
            yield Stage(estimate, number, number >= last)
            if number >= last:
                return
        yield Stage(
            Failure(f"the estimator ended after {number} of {number_of(last, 'stage')}"), number + 1
        )
    except EstimateError as error:
        yield Stage(Failure(str(error)), number + 1)
    except MemoryError:
        yield Stage(Failure("out of memory"), number + 1)
    except Exception as error:  # an error in one network's training must not end the search
        reason = f"{type(error).__name__}: {error}"
        yield Stage(Failure(reason, died=_lost_its_gpu(error)), number + 1)


def _lost_its_gpu(error: Exception) -> bool:
    """Tell whether an error leaves torch's connection to the GPU unusable in this process.

    What a kernel did wrong stays with the process: whatever it computes next fails, too. The error
    is known by its text, since torch need not have been imported here.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds:
        return False
    return "AcceleratorError" in kinds or str(error).startswith(_LOST)


def _give_back_memory() -> None:
    """Give back the GPU memory that torch keeps for later: other workers may share the GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
