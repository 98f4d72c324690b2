r"""The default search with an empty cache: its time, its bias, and whether its best network wins.

    python -m experiments.benchmarks.default_search [--record]
    python -m experiments.benchmarks.default_search --data CIFAR-10 --retrain images=30000 \
        --name cifar10_search --record

Reports the wall-clock time of ``python -m nas.search --space mixnet --budget 400M`` with an empty
cache (including the training of the supernet), the retrained networks, and Kendall's tau of the
scores with depth, MAdds and parameters. The sampler prefers small networks with high scores, so tau
is lower than among networks drawn at random. With ``--name`` and ``--record``, the report and the
tables are saved below ``experiments/results/``, in a folder of that name.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import kendalltau

from analysis.schema import RAW_SCORE
from experiments.benchmarks.common import RESULTS, record
from nas.files import write_atomic

KEPT = ("report.html", "trials.csv", "references.csv", "pareto.csv", "confirmed.csv", "best.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="data set, instead of the default one")
    parser.add_argument("--retrain", help="retraining settings, as for nas.search")
    parser.add_argument("--name", help="name of the record and of the report's folder")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        seconds, summary = searched(run, arguments.data, arguments.retrain)
        trials = pd.read_csv(run / "trials.csv")
        if arguments.record and arguments.name:
            keep(run, RESULTS / arguments.name, arguments.data)
    trials = trials[trials["state"] == "complete"]
    depths = [name for name in trials.columns if name.endswith(".depth")]
    trials["depth"] = trials[depths].sum(axis=1)
    taus = {
        name: round(float(kendalltau(trials[RAW_SCORE], trials[name]).statistic), 3)
        for name in ("depth", "madds", "params", "latency_ms")
    }
    show(seconds, summary, taus)
    record(
        arguments.name or "default_search",
        {
            "trials": summary["completed"],
            "seconds": round(seconds, 1),
            "kendall_tau_of_score": taus,
            **{key: summary[key] for key in ("pareto", "references", "confirmed", "differences")},
        },
        "torch",
        "onnxruntime",
        "optuna",
        write=arguments.record,
    )


def searched(run: Path, data: str | None, retrain: str | None) -> tuple[float, dict[str, Any]]:
    """Search with an empty cache; return the time in seconds and the search's own summary."""
    words = ["nas.search", "--space", "mixnet", "--budget", "400M", "--out", str(run), "--json"]
    words += ["--data", data] if data else []
    words += ["--retrain", retrain] if retrain else []
    cache = {"MIXNAS_CACHE": str(run.parent / "cache")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *words],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **cache},
    )  # fmt: skip
    summary: dict[str, Any] = json.loads(done.stdout)
    return time.perf_counter() - started, summary


def show(seconds: float, summary: dict[str, Any], taus: dict[str, float]) -> None:
    """Print the results."""
    front = summary["pareto"]
    print(f"{summary['completed']} trials in {seconds:.0f} s; {len(front)} on the front")
    for name, tau in taus.items():
        print(f"Kendall tau of the score with {name:12} {tau:6.2f}")
    for row in front:
        print(f"{row['name']:18} {row['score']:.4f}  {row['latency_ms']:6.2f} ms")
    for row in summary["confirmed"]:
        spread = 100 * (row["test_std"] or 0)  # none for a single run
        print(f"{row['name']:18} {100 * row['test']:.2f} +- {spread:.2f} % retrained")


def keep(run: Path, folder: Path, data: str | None) -> None:
    """Copy a run's report and tables, without the path of the data on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {str(run.parent): "runs"}
    if data:
        places |= {str(Path(data).resolve()): Path(data).name, data: Path(data).name}
    for name in KEPT:
        text = (run / name).read_text(encoding="utf-8")
        for place, known in places.items():
            text = text.replace(place, known)
        write_atomic(folder / name, text)


if __name__ == "__main__":
    main()
