"""Repeatability of latencies across processes that are minutes apart.

    python -m experiments.benchmarks.repeatability [--processes 5] [--pause 60] [--record]

Each process measures every network with ``python -m nas.measure``. The medians and the times at the
machine's usual speed are printed, with the largest difference between any two processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from experiments.benchmarks.common import record

NETWORKS = ("mixnet_s", "mixnet_m", "efficientnet_b0", "mobilenet_v2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="onnxruntime:cpu")
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--pause", type=float, default=60.0, help="seconds between processes")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    rows: list[list[dict[str, Any]]] = []
    for number in range(arguments.processes):
        if number:
            time.sleep(arguments.pause)
        words = [sys.executable, "-m", "nas.measure", *NETWORKS, "--device", arguments.device]
        done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    result = {}
    for index, name in enumerate(NETWORKS):
        found = [process[index] for process in rows]
        result[name] = {
            "median_ms": [one["median_ms"] for one in found],
            "steady_ms": [one["steady_ms"] for one in found],
            "noisy": [bool(one["noise"]) for one in found],
            "median_spread": spread([one["median_ms"] for one in found]),
            "steady_spread": spread([one["steady_ms"] for one in found]),
            "quiet_median_spread": spread([o["median_ms"] for o in found if not o["noise"]]),
            "quiet_steady_spread": spread([o["steady_ms"] for o in found if not o["noise"]]),
        }
        print(name, json.dumps(result[name]))
    record(
        "repeatability",
        {"processes": arguments.processes, "pause_seconds": arguments.pause, "networks": result},
        "onnxruntime",
        write=arguments.record,
    )


def spread(values: list[float]) -> float | None:
    """Return the largest difference between two values as a share of the smaller one."""
    return round(max(values) / min(values) - 1, 4) if len(values) > 1 else None


if __name__ == "__main__":
    main()
