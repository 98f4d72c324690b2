"""Cost of kill -9 to a table of trained networks: its making is killed at random moments.

    python -m experiments.benchmarks.table_kills --data CIFAR-10 [--kills 20] [--record]

Two processes make a small table (`experiments.mixnet_table`); both are killed at once, and started
again. After each kill, every training that was in the table must still be there, unchanged, and
the table must be whole. In the end, every training must be there once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.common import record

SEEDS, IMAGES = 2, 64
LONGEST = 25.0  # seconds until a kill, at most
Trainings = dict[str, str]


@dataclass
class TableToll:
    """The effects of the kills on a table.

    Attributes:
        kills: Number of kills.
        trainings: Number of trainings in the end.
        lost: Number of trainings that a kill removed.
        changed: Number of trainings that were not the same after a kill.
        damaged: Number of times that the table could not be read.
        double: Number of trainings that the final table has more than once.
        seconds: Total time, in seconds.
    """

    kills: int = 0
    trainings: int = 0
    lost: int = 0
    changed: int = 0
    damaged: int = 0
    double: int = 0
    seconds: float = 0.0


def kill_and_continue(
    data: str, folder: Path, kills: int, networks: int, seed: int = 0
) -> TableToll:
    """Make a table, killing and starting its making repeatedly, and let it finish.

    Args:
        data: CIFAR-10.
        folder: Folder of the table.
        kills: Number of kills.
        networks: Number of networks of `mixnet`; the references come on top.
        seed: Random seed of the moments of the kills.

    Raises:
        RuntimeError: If the making of the table fails.
    """
    rng = random.Random(seed)
    toll, started = TableToll(), time.perf_counter()
    words = ["--data", data, "--out", str(folder), "--networks", str(networks)]
    words += ["--seeds", str(SEEDS), "--images", str(IMAGES), "--first", os.devnull]
    before: Trainings = {}
    for last in [False] * kills + [True]:
        processes = [_start(words), _start(words)]
        if last:
            for process in processes:
                if process.wait() != 0:
                    raise RuntimeError(f"the making of the table ended with {process.returncode}")
        else:
            time.sleep(LONGEST * rng.random())
            for process in processes:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            toll.kills += 1
        after = _trainings(folder)
        toll.lost += len(before.keys() - after.keys())
        toll.changed += sum(before[name] != after[name] for name in before.keys() & after.keys())
        toll.damaged += _is_damaged(folder / "table.json")
        before = after
    toll.trainings = len(before)
    rows = json.loads((folder / "table.json").read_text(encoding="utf-8"))["networks"]
    names = Counter(row["spec"] for row in rows)
    toll.double = sum(count - 1 for count in names.values())
    toll.double += sum(max(0, len(row["accuracies"]) - SEEDS) for row in rows)
    toll.seconds = time.perf_counter() - started
    return toll


def _start(words: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "experiments.mixnet_table", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def _trainings(folder: Path) -> Trainings:
    """Return the files of the trainings, by name."""
    paths = (folder / "trainings").glob("*.json")
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _is_damaged(path: Path) -> bool:
    try:
        return path.exists() and not json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10, as folders or its own files")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        toll = kill_and_continue(
            arguments.data,
            Path(folder) / "table",
            arguments.kills,
            arguments.networks,
            arguments.seed,
        )
    for what, figure in vars(toll).items():
        print(f"{what:12} {figure:>8.4g}")
    record(
        "table_kills",
        {"networks": arguments.networks, "seeds": SEEDS, "images": IMAGES, "seed": arguments.seed}
        | {**vars(toll), "seconds": round(toll.seconds, 1)},
        "torch",
        write=arguments.record,
    )


if __name__ == "__main__":
    main()
