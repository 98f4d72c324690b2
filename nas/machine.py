"""This machine as a place to measure on: its cores, its load, and who may use it when."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
from filelock import ReadWriteLock, Timeout

from nas.files import cache_folder

OTHERS = 0.25  # of a core that other processes may take before it is told
STOLEN = 0.05  # share that a host may take from a virtual machine
CLOCK = 0.8  # of the highest clock frequency
_PATIENCE = 2.0  # seconds of waiting before it is told


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    return len(_affinity()) or os.cpu_count() or 1


def _affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def machine_name() -> str:
    """Return the processor's name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        model = Path("/proc/device-tree/model")  # boards name themselves here
        if model.is_file():
            return model.read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def pinned(threads: int, alone: bool) -> Iterator[None]:
    """Keep the calling thread on certain cores, where the system can.

    Args:
        threads: of the runtime that is measured.
        alone: on one core, the runtime places its other threads itself; otherwise on as many
            cores as there are threads.
    """
    cores = _affinity()
    if not cores or threads > len(cores):
        yield
        return
    os.sched_setaffinity(0, set(cores[:1] if alone else cores[:threads]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))


def other_cores(threads: int) -> str:
    """Return the cores of a runtime's threads beside the first, as ONNX Runtime writes them.

    Empty when there is nothing to place.
    """
    cores = _affinity()
    if threads < 2 or threads > len(cores):
        return ""
    return ";".join(str(core + 1) for core in cores[1:threads])


class MachineLoad:
    """Watches what else the machine did since it was made."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()
        self._own = self._process_seconds()

    @staticmethod
    def _process_seconds() -> float:
        times = psutil.Process().cpu_times()
        return float(times.user + times.system)

    def remarks(self) -> list[str]:
        """Say what may have disturbed a measurement; nothing on a quiet machine."""
        now = psutil.cpu_times()
        spent = {
            name: max(0.0, getattr(now, name) - getattr(self._before, name)) for name in now._fields
        }
        # What runs in virtual machines is counted twice, as guest and as user.
        total = sum(v for k, v in spent.items() if not k.startswith("guest")) or 1e-9
        stolen = spent.get("steal", 0.0) / total
        idle = (spent.get("idle", 0.0) + spent.get("iowait", 0.0)) / total
        own = (self._process_seconds() - self._own) / total
        others = max(0.0, 1 - idle - stolen - own)
        remarks = []
        if others * (psutil.cpu_count() or 1) > OTHERS:
            remarks.append(f"other processes used {others:.0%} of the processor")
        if stolen > STOLEN:
            remarks.append(f"the host took {stolen:.0%} of the processor")
        return remarks + _clock_remarks()


def _clock_remarks() -> list[str]:
    try:
        clock = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):  # not every machine tells
        return []
    if clock is None or not clock.max or clock.current >= CLOCK * clock.max:
        return []
    return [f"the clock ran at {clock.current:.0f} of {clock.max:.0f} MHz"]


def _acquire_in_steps(acquire: Callable[..., object]) -> None:
    """Wait for a lock so that Ctrl-C is heard in between: one long wait would not hear it."""
    while True:
        try:
            acquire(timeout=0.5)
        except Timeout:
            continue
        return


@contextmanager
def machine_for(use: Literal["measuring", "training"]) -> Iterator[None]:
    """Wait until this machine is free for a use, and keep it meanwhile.

    Any number of processes may train at once, but one that measures has the machine to itself:
    latency beside a training is the training's. A process that dies lets go. The lock lies in the
    cache, so it holds among processes that share one.
    """
    lock = ReadWriteLock(cache_folder() / "machine.lock", is_singleton=False)
    acquire = lock.acquire_write if use == "measuring" else lock.acquire_read
    try:
        try:
            acquire(timeout=_PATIENCE)
        except Timeout:
            other = "measures" if use == "training" else "measures or trains"
            print(f"waiting: another mixnas process {other} on this machine", file=sys.stderr)
            _acquire_in_steps(acquire)
        yield
    finally:
        lock.release(force=True)
        lock.close()
