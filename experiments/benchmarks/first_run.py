r"""The first command of the README with an empty cache: how long each of its phases takes.

    python -m experiments.benchmarks.first_run [--runs 3] [--cores 1] [--record]

The command is ``python -m nas.search --space mixnet --budget 400M``, without the installation.
Every run has a cache of its own, so that it trains its supernet and examines the device. With
``--cores``, the runs may use only that many cores, as in a container with that limit. It runs on
Linux. The first two seconds of the device's examination count for the supernet.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.common import record

COMMAND = ("nas.search", "--space", "mixnet", "--budget", "400M")
BEGINNINGS = {
    "supernet": "preparing supernet",
    "device": "examining ",
    "networks": r"\[0/",
    "retraining": "preparing to retrain",
}
"""How the first line of each phase begins, by name; what comes before is the start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="number of runs")
    parser.add_argument("--cores", type=int, help="cores that the runs may use; all by default")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    usable = sorted(os.sched_getaffinity(0))
    cores = arguments.cores or len(usable)
    runs = []
    for number in range(arguments.runs):
        runs.append(timed(set(usable[:cores])))
        print(f"run {number + 1}: " + in_words(runs[-1]), flush=True)
    phases = list(runs[0])
    median = {name: statistics.median(run[name] for run in runs) for name in phases}
    median["total"] = statistics.median(sum(run.values()) for run in runs)
    print(f"median of {len(runs)}: " + in_words(median))
    found = {"runs": runs, "median": {name: round(value, 1) for name, value in median.items()}}
    record(
        f"first_run_cores{cores}",
        {"usable": cores, **found},
        "torch", "onnxruntime", "optuna",
        write=arguments.record,
    )  # fmt: skip


def timed(cores: set[int]) -> dict[str, float]:
    """Run the command once; return the seconds of its phases, by name."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", *COMMAND, "--out", str(Path(folder) / "run")]
        cache = {"MIXNAS_CACHE": str(Path(folder) / "cache"), "PYTHONUNBUFFERED": "1"}
        begun = {"start": time.perf_counter()}
        with subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **cache},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        ) as search:
            assert search.stdout is not None
            lines = []
            for line in search.stdout:
                lines.append(line)
                for name, pattern in BEGINNINGS.items():
                    if name not in begun and re.match(pattern, line):
                        begun[name] = time.perf_counter()
        ended = time.perf_counter()
    if search.returncode or len(begun) <= len(BEGINNINGS):
        raise SystemExit("the search failed, or skipped a phase:\n" + "".join(lines))
    moments = [*begun.values(), ended]
    return {
        name: round(after - before, 1)
        for name, before, after in zip(begun, moments[:-1], moments[1:], strict=True)
    }


def in_words(phases: dict[str, float]) -> str:
    """Return seconds by phase as text, with their total."""
    total = phases.get("total", sum(phases.values()))
    parts = ", ".join(f"{name} {value:.0f}" for name, value in phases.items() if name != "total")
    return f"{total:.0f} s ({parts})"


if __name__ == "__main__":
    main()
