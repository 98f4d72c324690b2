"""Overhead of the search engine per trial: a thousand empty trials, locally and on Ray.

    python -m experiments.benchmarks.overhead [--trials 1000] [--where local ray] [--record]

Whole searches over `mixnet` within 400M MAdds, with random sampling, an estimator and a device that
answer at once, and two workers. This includes sampling, storing trials (SQLite), communication with
worker processes, and writing tables. The time is that of `Search.run`, from the start of the
workers to the last table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.benchmarks.common import record
from nas.search.config import SearchConfig
from nas.search.loop import Search

TARGETS = {"local": 50.0, "ray": 100.0}
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--where", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    results = {where: measure(where, arguments.trials) for where in arguments.where}
    for where, result in results.items():
        print(
            f"{where:6} {result['milliseconds_a_trial']:6.1f} ms a trial "
            f"(at most {TARGETS[where]:g}), {result['completed']} of {arguments.trials} complete, "
            f"{result['seconds']:.0f} s"
        )
    record(
        "overhead",
        {"trials": arguments.trials, "workers": WORKERS, "targets_ms": TARGETS, **results},
        "optuna", "ray",
        write=arguments.record,
    )  # fmt: skip


def measure(where: str, trials: int) -> dict[str, Any]:
    """Run a search whose trials do nothing."""
    config = SearchConfig(
        space="mixnet",
        limits={"madds": "400M"},
        data="digits",
        estimator="nas.testing.fakes:Instant",
        device="nas.testing.fakes:InstantDevice",
        sampler="random",
        references=[],
        trials=trials,
        seed=0,
        workers=WORKERS,
        threads=1,
        latency="measured",
        ray="local" if where == "ray" else None,
    )
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w") as nowhere:
        console = Console(file=nowhere)
        search = Search.prepare(config, Path(folder) / "run", console)
        started = time.perf_counter()
        search.run(console)
        seconds = time.perf_counter() - started
        completed = search.runner.study.completed()
    return {
        "seconds": round(seconds, 2),
        "milliseconds_a_trial": round(1e3 * seconds / trials, 2),
        "completed": completed,
    }


if __name__ == "__main__":
    main()
