"""Cost of kill -9: a search of cheap trials, killed at random moments and resumed each time.

    python -m experiments.benchmarks.kills [--kills 50] [--trials 200] [--devices 1] [--record]

Some kills occur at the start of the process, the others between its first and its last trial; some
hit only the search, others its workers, too. After each kill, the study's file is examined: all
trials that were reported as complete must be in it, and must remain unchanged.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import record

ROOT = Path(__file__).parents[2]
SPACE = """
schema: mixnas.space/1
name: small
input: {resolution: 32}
stem: {channels: 8}
stages:
  a: {stride: 2, depth: {choice: [1, 2]}, channels: {choice: [16, 24, 32]},
      kernels: {groups: [1, 5], of: [3, 5, 7, 9]}, expansion: {choice: [2, 3]}}
head: {channels: 32}
"""
STARTING = 0.2  # share of the kills that do not wait for a trial
START_SECONDS = 4.0  # within which those fall
DEVICES = ("nas.testing.fakes:InstantDevice", "nas.testing.fakes:SecondDevice")
DELAY = 0.15  # seconds from a trial to its kill, at most
Complete = dict[int, tuple[Any, ...]]


@dataclass
class Toll:
    """The effects of the kills on a run.

    Attributes:
        kills: Number of kills that hit the search while it ran.
        complete: Number of complete trials at the end.
        interrupted: Number of trials ended by a kill; their networks were started again.
        lost: Number of trials that were complete, or reported as such, but not after a kill.
        changed: Number of complete trials whose values differed after a kill.
        double: Number of networks that are complete more than once.
        damaged: Number of times that SQLite found its file damaged.
        seconds: Total time, in seconds.
    """

    kills: int = 0
    complete: int = 0
    interrupted: int = 0
    lost: int = 0
    changed: int = 0
    double: int = 0
    damaged: int = 0
    seconds: float = 0.0


def kill_and_resume(
    folder: Path,
    kills: int,
    trials: int,
    seed: int = 0,
    sampler: str = "random",
    devices: int = 1,
) -> Toll:
    """Run a search, kill and resume it repeatedly, and let it finish.

    Args:
        folder: Empty folder to run in.
        kills: Number of kills, all of them while there are trials left.
        trials: Number of trials to complete.
        seed: Random seed of the moments of the kills.
        sampler: Sampler of the search.
        devices: Number of devices of the search, 1 or 2.

    Raises:
        RuntimeError: If the search ends by itself before its last trial.
    """
    rng = random.Random(seed)
    toll, started = Toll(), time.perf_counter()
    (folder / "small.yaml").write_text(SPACE, encoding="utf-8")
    run = folder / "run"
    words = [
        "--space", str(folder / "small.yaml"), "--sampler", sampler, "--workers", "2",
        "--estimator", "nas.testing.fakes:Slow", "--reference", "none", "--trials", str(trials),
        "--out", str(run), *(word for name in DEVICES[:devices] for word in ("--device", name)),
    ]  # fmt: skip
    before: Complete = {}
    while True:
        if not (run / "config.yaml").exists():  # killed before there was anything to resume
            shutil.rmtree(run, ignore_errors=True)
            process = _start(words)
        else:
            process = _start(["--resume", str(run), "--trust-config"])
        last = toll.kills == kills
        most = (trials - len(before)) // (2 * (kills - toll.kills) + 1)
        told = _live(process, None if last else rng, max(1, most))
        after = _complete(run / "study.db", toll)
        toll.lost += len((before.keys() | told) - after.keys())
        toll.changed += sum(before[n] != after[n] for n in before.keys() & after.keys())
        before = after
        if last:
            break
        toll.kills += 1
    toll.complete = len(before)
    hashes = Counter(trial[0] for trial in before.values())
    toll.double = sum(times - 1 for times in hashes.values())
    toll.seconds = time.perf_counter() - started
    return toll


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nas.search", *words], cwd=ROOT, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def _live(process: subprocess.Popen[str], rng: random.Random | None, most: int) -> set[int]:
    """Let a search run until its kill or its end; return the trials it reported as complete."""
    told: set[int] = set()
    lines: list[str] = []
    early = threading.Timer(0, lambda: None)
    if rng is not None:
        wanted, whole, delay = rng.randint(1, most), rng.random() < 0.5, rng.random()
        early = threading.Timer(START_SECONDS * rng.random(), _kill, [process, whole])
        if rng.random() < STARTING:
            early.start()
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            lines.append(line)
            if line.startswith("[") and "] trial " in line and " failed: " not in line:
                told.add(int(line.partition("] trial ")[2].partition(":")[0]))
                if rng is not None and len(told) == wanted:
                    time.sleep(DELAY * delay)
                    _kill(process, whole)
    code = process.wait()
    early.cancel()
    if code != (0 if rng is None else -signal.SIGKILL):
        raise RuntimeError(f"the search ended with {code}: {''.join(lines[-5:])}")
    return told


def _kill(process: subprocess.Popen[str], whole: bool) -> None:
    """Kill a search, with or without its workers; remaining ones end by themselves."""
    with suppress(ProcessLookupError):
        if whole:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _complete(path: Path, toll: Toll) -> Complete:
    """Return the complete trials in a study's file, by number."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as database:
        if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            toll.damaged += 1
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if not {"trials", "trial_values", "trial_user_attributes"} <= tables:
            return {}
        toll.interrupted = len(
            database.execute(
                "SELECT trial_id FROM trial_user_attributes "
                "WHERE key = 'reason' AND value_json LIKE '\"interrupted%'"
            ).fetchall()
        )
        found: Complete = {}
        rows = database.execute("SELECT trial_id, number FROM trials WHERE state = 'COMPLETE'")
        for identity, number in rows.fetchall():
            noted = dict(
                database.execute(
                    "SELECT key, value_json FROM trial_user_attributes WHERE trial_id = ?",
                    [identity],
                ).fetchall()
            )
            values = database.execute(
                "SELECT objective, value FROM trial_values WHERE trial_id = ? ORDER BY objective",
                [identity],
            ).fetchall()
            whole = [noted.get(key) for key in ("spec_hash", "cost", "estimate")]
            latencies = sorted(item for item in noted.items() if item[0].startswith("latency"))
            found[number] = (*whole, *latencies, *values)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--devices", type=int, default=1, choices=(1, 2))
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        toll = kill_and_resume(
            Path(folder),
            arguments.kills,
            arguments.trials,
            arguments.seed,
            arguments.sampler,
            arguments.devices,
        )
    for what, figure in vars(toll).items():
        print(f"{what:12} {figure:>8.4g}")
    record(
        "kills" if arguments.devices == 1 else f"kills_{arguments.devices}_devices",
        {name: getattr(arguments, name) for name in ("trials", "seed", "sampler", "devices")}
        | {**vars(toll), "seconds": round(toll.seconds, 1)},
        "optuna",
        write=arguments.record,
    )


if __name__ == "__main__":
    main()
