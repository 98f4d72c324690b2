"""Exact resumption: a training run that is killed repeatedly, compared with one that is not.

    python -m experiments.benchmarks.training_kills [--kills 10] [--record]

Both train MixNet-S on digits with a moving average, augmentation and dropout. The killed run is
stopped at random times and continued with ``--resume``. Then all weights are compared, and the logs
except for their times.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from experiments.benchmarks.common import record

RECIPE = (
    "epochs=30",
    "batch_size=64",
    "learning_rate=0.05",
    "ema=0.99",
    "dropout=0.2",
    "flip=true",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="mixnet_s")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        words = [arguments.network, "--resolution", "32", "--device", "none"]
        for change in RECIPE:
            words += ["--set", change]
        run([*words, "--out", str(whole)]).wait()
        steps = kill_and_resume([*words, "--out", str(killed)], killed, arguments)
        same, tensors = same_weights(whole, killed)
        logs = [pd.read_csv(path / "log.csv").drop(columns="seconds") for path in (whole, killed)]
    print(f"{len(steps)} kills, at steps {steps}")
    print(f"{same} of {tensors} tensors equal bit for bit; logs equal: {logs[0].equals(logs[1])}")
    record(
        "training_kills",
        {
            "network": arguments.network,
            "recipe": RECIPE,
            "kills": len(steps),
            "checkpoint_steps_at_kills": steps,
            "tensors": tensors,
            "equal_tensors": same,
            "logs_equal": bool(logs[0].equals(logs[1])),
        },
        "torch",
        write=arguments.record,
    )


def run(words: list[str]) -> subprocess.Popen[bytes]:
    """Start ``nas.train``."""
    return subprocess.Popen([sys.executable, "-m", "nas.train", *words], stdout=subprocess.DEVNULL)


def kill_and_resume(words: list[str], path: Path, arguments: argparse.Namespace) -> list[int]:
    """Train to the end with kills on the way; return the steps of the checkpoints at the kills."""
    rng = random.Random(arguments.seed)
    steps: list[int] = []
    while len(steps) < arguments.kills:
        process = run(words)
        before = changed(path)
        while changed(path) == before and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 2.0))  # somewhere between two checkpoints, or in one
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(step_of(path))
        words = ["--resume", str(path), "--device", "none"]
    run(words).wait()
    return steps


def changed(path: Path) -> int:
    """Return when the checkpoint was written; 0 if there is none."""
    file = path / "checkpoint.safetensors"
    return file.stat().st_mtime_ns if file.exists() else 0


def step_of(path: Path) -> int:
    """Return the step of the checkpoint."""
    with safe_open(path / "checkpoint.safetensors", "pt") as file:
        facts: str = file.metadata()["facts"]
    return int(facts.partition('"step": ')[2].partition(",")[0])


def same_weights(one: Path, other: Path) -> tuple[int, int]:
    """Return the number of equal tensors and their total number."""
    first, second = (load_file(path / "weights.safetensors") for path in (one, other))
    return sum(torch.equal(first[name], second[name]) for name in first), len(first)


if __name__ == "__main__":
    main()
