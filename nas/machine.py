"""This machine: its cores, its load, its GPUs, and the locks that keep measurements undisturbed."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import ReadWriteLock, Timeout

from nas.files import cache_folder

# Thresholds beyond which `MachineLoad` reports a disturbance.
OTHERS = 0.25  # cores used by other processes
STOLEN = 0.05  # share of the processor's time that the host takes from a virtual machine
CLOCK = 0.8  # clock frequency as a share of the maximum
THROTTLED = 0.01  # share of the time for which a CPU quota stops this process
_PATIENCE = 2.0  # seconds of waiting for the lock before a message is printed
_ROOT = Path("/")  # holds ``proc`` and ``sys``
_BOUND = "MIXNAS_GPU"  # environment variable: the only GPU that a process may use


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    It is bounded by the cores that the process is bound to (``taskset``), by the CPU quota of a
    container (its whole cores, and at least one), and by what SLURM has allotted to a task.
    """
    bounds = [len(_affinity()) or os.cpu_count() or 1]
    if (quota := cpu_quota()) is not None:
        bounds.append(int(quota))
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if allotted.isdigit():
        bounds.append(int(allotted))
    return max(1, min(bounds))


def usable_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or a container's."""
    total = psutil.virtual_memory().total
    return min(total, memory_limit() or total)


def thread_remarks(threads: int) -> list[str]:
    """Return a remark if a runtime has more threads than this process may use cores."""
    cores = usable_cores()
    if threads <= cores:
        return []
    shared = "the only core" if cores == 1 else f"the {cores} cores"
    return [f"{threads} threads shared {shared} that this process may use"]


def _affinity() -> list[int]:
    """Return the cores on which this process may run; empty if the system does not report them."""
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
        self._throttled = throttled_seconds()

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
        elapsed = total / (psutil.cpu_count() or 1)
        throttled = (throttled_seconds() - self._throttled) / elapsed
        if throttled > THROTTLED:
            remarks.append(f"a CPU quota stopped this process for {throttled:.0%} of the time")
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
def machine_for(use: Literal["measuring", "training"], device: str = "cpu") -> Iterator[None]:
    """Wait until a device of this machine is free for a use, and hold it during the block.

    Any number of processes may train on a device at the same time, but a process that measures has
    exclusive use of it, since training would distort the latencies. What computes on a GPU is
    launched by the processor: while the processor is measured, nothing trains anywhere; while a GPU
    is measured, nothing trains on it or on the processor, but other GPUs may train. The locks of a
    process that dies are released. The lock files are in the user's cache, so they are shared by
    the processes that share a cache.

    Args:
        use: What the device is needed for.
        device: Device, as torch names it.
    """
    measuring, cpu = use == "measuring", device == "cpu"
    # All processes take their locks in this order, so that no two wait for each other.
    locks = [("machine", measuring and cpu)]
    if cpu != measuring:  # a training on the processor, or a measurement elsewhere
        locks.append(("machine-cores", measuring))
    if not cpu:
        locks.append((f"machine-{accelerator_identifier(device)}", measuring))
    with ExitStack() as held:
        for name, exclusive in locks:
            held.enter_context(_locked(name, exclusive))
        yield


@contextmanager
def _locked(name: str, exclusive: bool) -> Iterator[None]:
    lock = ReadWriteLock(cache_folder() / f"{name}.lock", is_singleton=False)
    acquire = lock.acquire_write if exclusive else lock.acquire_read
    try:
        try:
            acquire(timeout=_PATIENCE)
        except Timeout:
            other = "measuring or training" if exclusive else "measuring"
            print(f"waiting: another mixnas process is {other} on this machine", file=sys.stderr)
            _acquire_in_steps(acquire)
        yield
    finally:
        lock.release(force=True)
        lock.close()


# -- limits of control groups, as of a container or a job -----------------------------------------


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many cores' time this process may take; None without a limit.

    Args:
        root: Folder that holds ``proc`` and ``sys``.
    """
    quotas = [quota for group in _groups("cpu", root) if (quota := _quota(group)) is not None]
    return min(quotas, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return how many bytes of memory this process may take; None without a limit."""
    names = ("memory.max", "memory.limit_in_bytes")  # of version 2 and version 1
    limits = [
        int(words[0])
        for group in _groups("memory", root)
        for name in names
        if (words := _words(group / name)) and words[0].isdigit()
    ]
    return min(limits, default=None)


def throttled_seconds(root: Path = _ROOT) -> float:
    """Return for how long this process's groups have been stopped because of their CPU quotas."""
    units = {"throttled_usec": 1e6, "throttled_time": 1e9}  # of version 2 and version 1
    total = 0.0
    for group in _groups("cpu", root):
        words = _words(group / "cpu.stat")
        for name, value in zip(words[::2], words[1::2], strict=False):
            if name in units:
                total += int(value) / units[name]
    return total


def _quota(group: Path) -> float | None:
    words = _words(group / "cpu.max")
    if not words:  # version 1
        words = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
    if len(words) != 2 or not all(word.isdigit() for word in words):  # "max", or -1 for no limit
        return None
    return int(words[0]) / int(words[1])


def _words(path: Path) -> list[str]:
    """Return the words of a file; none if it cannot be read."""
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # as on other systems than Linux
        return ""


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, from its own to the outermost.

    In a container, the path of its own group may be that on the host, which does not exist here.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one hierarchy; version 1 has one for each set of controllers.
        for mount in {controllers, controller} if controllers else {""}:
            group = root / "sys/fs/cgroup" / mount / path.strip("/")
            top = root / "sys/fs/cgroup" / mount
            while True:
                yield group
                if group == top or top not in group.parents:
                    break
                group = group.parent


# -- accelerators ---------------------------------------------------------------------------------


def bind_gpu(identifier: str) -> None:
    """Restrict this process to one GPU; must be called before torch looks for GPUs.

    Args:
        identifier: Number or UUID of the GPU, as in ``CUDA_VISIBLE_DEVICES``.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = identifier
    os.environ[_BOUND] = identifier


def name_here(device: str) -> str:
    """Return a device's name in this process; one bound to a GPU sees that GPU alone.

    Args:
        device: Device, as the process that was started by the user names it.
    """
    return "cuda" if device.startswith("cuda") and _BOUND in os.environ else device


def gpu_identifier(device: str) -> str:
    """Return the number or UUID of a GPU, as ``CUDA_VISIBLE_DEVICES`` has them.

    Args:
        device: GPU, as torch names it in this process: ``cuda`` or ``cuda:1``.
    """
    number = int(device.partition(":")[2] or 0)
    visible = [text.strip() for text in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return visible[number] if number < len(visible) and visible[number] else str(number)


def accelerator_identifier(device: str) -> str:
    """Return what identifies an accelerator to all processes of this machine, such as ``cuda-1``.

    Args:
        device: Device, as torch names it in this process: ``cuda``, ``cuda:1`` or ``mps``.
    """
    kind, _, number = device.partition(":")
    identifier = gpu_identifier(device) if kind == "cuda" else number or "0"
    return f"{kind}-{identifier.replace('/', '-')}"


# -- child processes ------------------------------------------------------------------------------


def start_child(
    target: Callable[..., None], *arguments: Any, duplex: bool = True
) -> tuple[SpawnProcess, Connection]:
    """Start a process that Ctrl-C does not reach and that ends with this one at the latest.

    Args:
        target: What it calls, with its end of a pipe and the arguments.
        arguments: Further arguments; they are pickled.
        duplex: Whether both ends of the pipe can send; otherwise only the new process can.

    Returns:
        The process, and this end of the pipe.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex)
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    resource_tracker.ensure_running()  # it would let interrupts through when it starts
    with _interrupts_blocked():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C: here during the block, and for good in processes started within it.

    Ctrl-C reaches the whole process group, including a process that is still importing.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def end_with_parent() -> None:
    """End this process when its parent is gone, as after kill -9; it would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
