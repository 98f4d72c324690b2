"""The default search from a fresh run directory: how long, and what it favours.

    python -m experiments.benchmarks.default_search [--record]

Reports the wall-clock time of ``python -m nas.search --space mixnet --budget 400M`` and Kendall's
tau of its accuracies with depth, MAdds and parameters: trainings that are too short favour shallow
networks, and tau with depth is then clearly negative.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

from experiments.benchmarks.common import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["nas.search", "--space", "mixnet", "--budget", "400M", "--out", str(run)]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *words, "--json"], check=True, stdout=subprocess.PIPE, text=True
        )
        seconds = time.perf_counter() - started
        summary = json.loads(done.stdout)
        trials = pd.read_csv(run / "trials.csv")
    trials = trials[trials["state"] == "complete"]
    depths = [name for name in trials.columns if name.endswith(".depth")]
    trials["depth"] = trials[depths].sum(axis=1)
    taus = {
        name: round(float(kendalltau(trials["accuracy"], trials[name]).statistic), 3)
        for name in ("depth", "madds", "params", "latency_ms")
    }
    print(
        f"{summary['completed']} trials in {seconds:.0f} s; {len(summary['pareto'])} on the front"
    )
    for name, tau in taus.items():
        print(f"Kendall tau of accuracy with {name:12} {tau:6.2f}")
    for row in summary["pareto"] + summary["references"]:
        print(f"{row['name']:18} {100 * row['accuracy']:5.1f}%  {row['latency_ms']:6.2f} ms")
    record(
        "default_search",
        {
            "trials": summary["completed"],
            "seconds": round(seconds, 1),
            "mean_train_seconds": round(float(trials["train_seconds"].mean()), 1),
            "kendall_tau_of_accuracy": taus,
            "pareto": summary["pareto"],
            "references": summary["references"],
        },
        "torch",
        "onnxruntime",
        "optuna",
        write=arguments.record,
    )


if __name__ == "__main__":
    main()
