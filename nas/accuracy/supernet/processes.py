"""Several processes that train one supernet together, one per GPU, started by the search itself.

Each trains a path of its own on its share of a batch. torch's DistributedDataParallel averages the
gradients of the shared weights: a weight that a path leaves out counts as zero there, and one that
all paths leave out has none, as in a single process.
"""

from __future__ import annotations

import os
import pickle
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

import torch

from nas.errors import MixnasError
from nas.imports import set_library_defaults
from nas.machine import end_with_parent, machine_for, start_child, usable_cores
from nas.progress import Step
from nas.train.placement import AcceleratePlacement, gpus_of

if TYPE_CHECKING:
    from nas.accuracy.supernet.training import SupernetTraining

_HOST = "127.0.0.1"


def train_together(training: SupernetTraining, count: int, parts: int, step: Step | None) -> None:
    """Train a supernet in several processes; all of them end with this call.

    Args:
        training: The training.
        count: Number of processes.
        parts: Number of parts in which each computes the gradients of its share of a batch.
        step: Called with the number of steps taken and their total number.

    Raises:
        MixnasError: If there is no GPU for every process, or one of them cannot continue.
        torch.OutOfMemoryError: If the memory of one of their devices does not suffice.
    """
    gpus = gpus_of(training.placement)
    if gpus and count > len(gpus):
        raise MixnasError(
            f"the supernet cannot be trained by {count} processes, since {training.placement.on} "
            f"stands for {len(gpus)} of the GPUs; set processes to {len(gpus)} or less, or train "
            "it where there are more"
        )
    # torch's warnings that a path leaves no weight out, which is as it should be; it reads this
    # when it is imported.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    set_library_defaults()  # those of the new processes
    devices = gpus[:count] or [training.placement.on]
    with ExitStack() as held:
        for device in devices:
            held.enter_context(machine_for("training", device))
        processes = held.enter_context(_processes(training, count, parts))
        _supervise(processes, step)


@contextmanager
def _processes(
    training: SupernetTraining, count: int, parts: int
) -> Iterator[dict[Connection, SpawnProcess]]:
    """Start the processes, and end them with the block; they are given by their pipes."""
    pickled, port = pickle.dumps(training), _free_port()
    started: dict[Connection, SpawnProcess] = {}
    try:
        for rank in range(count):
            arguments = (pickled, parts, rank, count, port)
            process, pipe = start_child(_train, *arguments, duplex=False)
            started[pipe] = process
        yield started
    finally:
        for pipe, process in started.items():
            process.kill()
            process.join()
            pipe.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        port: int = listener.getsockname()[1]
    return port


def _supervise(processes: dict[Connection, SpawnProcess], step: Step | None) -> None:
    """Pass on what the processes report, until all have ended or one has failed."""
    running, talking = dict(processes), set(processes)
    while running:
        wait([*talking, *(process.sentinel for process in running.values())])
        for pipe, process in list(running.items()):
            ended = process.exitcode is not None  # before reading: nothing comes after it
            if pipe in talking and not _pass_on(pipe, step):
                talking.remove(pipe)
            if ended and process.exitcode:
                raise MixnasError(
                    f"a process that trains the supernet died (exit code {process.exitcode}); "
                    "repeat the command to continue from its last checkpoint"
                )
            if ended:
                del running[pipe]
                talking.discard(pipe)


def _pass_on(pipe: Connection, step: Step | None) -> bool:
    """Pass on what has arrived; return whether more may come.

    Raises:
        MixnasError, torch.OutOfMemoryError: If the process says so.
    """
    try:
        while pipe.poll():
            kind, *content = pipe.recv()
            if kind == "memory":
                raise torch.OutOfMemoryError(*content)
            if kind == "failure":
                raise MixnasError(*content)
            if step is not None:
                step(*content)
    except (EOFError, ConnectionError):
        return False
    return True


def _train(pipe: Connection, pickled: bytes, parts: int, rank: int, world: int, port: int) -> None:
    """Train in one of the processes, and report to the one that started them."""
    end_with_parent()
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(max(1, usable_cores() // world))
    # Slices of weights have gradients of another memory format; they are copied anyway.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # It comes from the parent, as everything that `multiprocessing` sends.
    training: SupernetTraining = pickle.loads(pickled)  # noqa: S301
    report = _reporter(pipe) if rank == 0 else None
    try:
        training.train(_placement(training), parts, report)
    except torch.OutOfMemoryError as error:
        pipe.send(("memory", str(error)))
    except (MixnasError, OSError) as error:
        pipe.send(("failure", str(error)))
    # Without this, NCCL and gloo wait for each other's threads at exit, and warn. After a failure
    # the others do not come, and the process that started all of them ends them.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _placement(training: SupernetTraining) -> AcceleratePlacement:
    from accelerate import Accelerator, DistributedDataParallelKwargs  # takes a second

    accelerator = Accelerator(
        cpu=training.placement.kind == "cpu",
        mixed_precision="no",  # the placement handles precision
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    precision = training.placement.precision_at(training.shown.resolution)
    return AcceleratePlacement(accelerator, precision, compiled=False)


def _reporter(pipe: Connection) -> Step:
    def report(done: int, total: int) -> None:
        with suppress(OSError):  # the parent is gone, and this process will be, too
            pipe.send(("step", done, total))

    return report
