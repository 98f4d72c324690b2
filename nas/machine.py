"""This machine: its cores, its load, and the lock that keeps measurements undisturbed."""

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

# Thresholds beyond which `MachineLoad` reports a disturbance.
OTHERS = 0.25  # cores used by other processes
STOLEN = 0.05  # share of the processor's time that the host takes from a virtual machine
CLOCK = 0.8  # clock frequency as a share of the maximum
_PATIENCE = 2.0  # seconds of waiting for the lock before a message is printed


def usable_cores() -> int:
    """Return the number of cores on which this process may run."""
    return len(_affinity()) or os.cpu_count() or 1


def _affinity() -> list[int]:
    """Return the cores on which this process may run; empty if the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def machine_name() -> str:
    """Return the name of the processor, or of the board."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        model = Path("/proc/device-tree/model")  # the name of a board
        if model.is_file():
            return model.read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def pinned(threads: int, alone: bool) -> Iterator[None]:
    """Pin the calling thread for the duration of the block, if the system supports it.

    Nothing is pinned if there are more threads than cores.

    Args:
        threads: Number of threads of the runtime that is measured.
        alone: Whether to pin the thread to a single core, because the runtime pins its other
            threads itself; otherwise it is pinned to as many cores as there are threads.
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
    """Return the cores for a runtime's threads other than the first, in ONNX Runtime's format.

    The numbers count from 1 and are separated by semicolons. The result is empty if there is
    nothing to pin.
    """
    cores = _affinity()
    if threads < 2 or threads > len(cores):
        return ""
    return ";".join(str(core + 1) for core in cores[1:threads])


class MachineLoad:
    """Observes what else runs on the machine from the object's creation on."""

    def __init__(self) -> None:
        """Start observing."""
        self._before = psutil.cpu_times()
        self._own = self._process_seconds()

    @staticmethod
    def _process_seconds() -> float:
        times = psutil.Process().cpu_times()
        return float(times.user + times.system)

    def remarks(self) -> list[str]:
        """Return what may have disturbed a measurement; empty on a quiet machine."""
        now = psutil.cpu_times()
        spent = {
            name: max(0.0, getattr(now, name) - getattr(self._before, name)) for name in now._fields
        }
        # The time of virtual machines is counted twice, as guest and as user.
        total = sum(s for name, s in spent.items() if not name.startswith("guest")) or 1e-9
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
    except (OSError, NotImplementedError, RuntimeError):  # not available on every machine
        return []
    if clock is None or not clock.max or clock.current >= CLOCK * clock.max:
        return []
    return [f"the clock ran at {clock.current:.0f} of {clock.max:.0f} MHz"]


def _acquire_in_steps(acquire: Callable[..., object]) -> None:
    """Wait for a lock in short steps, since Ctrl-C cannot interrupt a single long wait."""
    while True:
        try:
            acquire(timeout=0.5)
        except Timeout:
            continue
        return


@contextmanager
def machine_for(use: Literal["measuring", "training"]) -> Iterator[None]:
    """Wait until this machine is free for a use, and hold it for the duration of the block.

    Any number of processes may train at the same time, but a process that measures has exclusive
    use of the machine, since training would distort the latencies. The lock of a process that dies
    is released. The lock file is in the user's cache, so it is shared by the processes that share
    a cache.
    """
    lock = ReadWriteLock(cache_folder() / "machine.lock", is_singleton=False)
    acquire = lock.acquire_write if use == "measuring" else lock.acquire_read
    try:
        try:
            acquire(timeout=_PATIENCE)
        except Timeout:
            other = "measuring" if use == "training" else "measuring or training"
            print(f"waiting: another mixnas process is {other} on this machine", file=sys.stderr)
            _acquire_in_steps(acquire)
        yield
    finally:
        lock.release(force=True)
        lock.close()
