"""Cost of kill -9 to a table of trained networks: its making is killed at random moments.

    python -m experiments.benchmarks.table_kills --data CIFAR-10 [--kills 20] [--record]

Two processes make a small table (`experiments.mixnet_table`); both are killed at once, and started
again. After each kill, every training that had been saved must still be there, unchanged, and
the table must be whole: each of its files can be read, and holds saved trainings only. In the end,
every training must be in it once.
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
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from experiments.benchmarks.common import record
from experiments.mixnet_table.networks import REFERENCES
from experiments.mixnet_table.trainings import result_path

SEEDS, IMAGES = 2, 64
LONGEST = 25.0  # seconds until a kill, at most
Trainings = dict[str, str]


@dataclass
class TableToll:
    """The effects of the kills on a table.

    Attributes:
        kills: Number of kills.
        trainings: Number of trainings in the end.
        missing: Number of trainings that the final table lacks.
        lost: Number of trainings that a kill removed.
        changed: Number of trainings that were not the same after a kill.
        damaged: Number of times that a file of the table could not be read, or that the table
            had a training that was not saved.
        double: Number of trainings that the final table has more than once.
        seconds: Total time, in seconds.
    """

    kills: int = 0
    trainings: int = 0
    missing: int = 0
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
        toll.damaged += _is_damaged(folder, after)
        before = after
    toll.trainings = len(before)
    rows = pd.read_csv(folder / "table.csv")
    found = Counter(zip(rows["network"], rows["seed"], strict=True))
    toll.missing = (networks + len(REFERENCES)) * SEEDS - len(found)
    toll.double = sum(times - 1 for times in found.values())
    toll.seconds = time.perf_counter() - started
    return toll


def _start(words: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "experiments.mixnet_table", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def _trainings(folder: Path) -> Trainings:
    """Return the files of the trainings, by name."""
    paths = (folder / "trainings").glob("*.json")
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _is_damaged(folder: Path, saved: Trainings) -> bool:
    """Return whether a file of the table cannot be read, or has what was not saved."""
    if not (folder / "table.json").exists():  # written last, so the others may be there already
        return False
    try:
        table = json.loads((folder / "table.json").read_text(encoding="utf-8"))["networks"]
        rows = pd.read_csv(folder / "table.csv")
        with np.load(folder / "hits.npz") as hits:
            known = set(zip(hits["networks"].tolist(), hits["seeds"].tolist(), strict=True))
            whole = len(hits["hits"]) == len(known)
    except (ValueError, OSError, KeyError, BadZipFile):
        return True
    known |= set(zip(rows["network"], rows["seed"], strict=True))
    files = {result_path(folder, *key).name for key in known}
    specs = [(folder / row["spec"]).is_file() for row in table]
    return not (whole and all(specs) and files <= saved.keys())


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
