"""How latency is measured: what runs, how often, and under which conditions."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MIN_RUNS = 30
MAX_RUNS = 200
WARMUP_SECONDS = 0.2
WARMUP_RUNS = 5
MEASURE_SECONDS = 0.6


@dataclass(frozen=True)
class Latency:
    """The time of one inference in milliseconds, and what it was measured under.

    Attributes:
        median_ms: median over the timed runs.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        n: timed runs.
        lowered: whether the network was in deployed form.
        device: where, as given on the command line.
        runtime: what ran it, with its version.
        machine: the processor.
        threads: of the runtime.
        batch: images a run.
        resolution: side of the images in pixels.
        when: UTC time of the measurement.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    n: int
    lowered: bool
    device: str
    runtime: str
    machine: str
    threads: int
    batch: int
    resolution: int
    when: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_name() -> str:
    """Return the processor's name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def time_runs(run: Callable[[], object]) -> np.ndarray:
    """Return the times of repeated runs in milliseconds, after a warm-up.

    At least `MIN_RUNS`, then on until `MEASURE_SECONDS` have passed. Python's garbage collector
    is off meanwhile.
    """
    warm_until = time.perf_counter() + WARMUP_SECONDS
    runs = 0
    while runs < WARMUP_RUNS or time.perf_counter() < warm_until:
        run()
        runs += 1
    times: list[int] = []
    enabled = gc.isenabled()
    gc.disable()
    try:
        stop = time.perf_counter() + MEASURE_SECONDS
        while len(times) < MIN_RUNS or (time.perf_counter() < stop and len(times) < MAX_RUNS):
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
    finally:
        if enabled:
            gc.enable()
    return np.array(times) / 1e6


def summarise(
    times: np.ndarray, *, device: str, runtime: str, threads: int, batch: int, resolution: int
) -> Latency:
    """Return the statistics of timed runs together with their conditions."""
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Latency(
        median_ms=round(float(median), 4),
        p10_ms=round(float(p10), 4),
        p90_ms=round(float(p90), 4),
        n=len(times),
        lowered=False,
        device=device,
        runtime=runtime,
        machine=machine_name(),
        threads=threads,
        batch=batch,
        resolution=resolution,
        when=now,
    )
