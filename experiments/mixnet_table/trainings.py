"""The trainings of the table, each in a file of its own, which any number of processes add.

A process claims a training by a lock file, which the system frees however the process ends, and
saves its result whole or not at all. So a process that is killed loses the training that it was
at, and no other; the next process does that one again.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from nas.files import parsing, write_atomic
from nas.spec import NetworkSpec


@dataclass(frozen=True)
class TrainingResult:
    """What became of one training.

    Attributes:
        network: Name of the network.
        seed: Seed of weights, order of the images and augmentation.
        hits: Which test images it classifies correctly, truth values (N,) in the order of the
            images; None if it failed.
        figures: Further figures by name, such as ``seconds``.
        reason: Why it failed; empty if it did not.
    """

    network: str
    seed: int
    hits: np.ndarray | None
    figures: dict[str, float]
    reason: str = ""

    @property
    def accuracy(self) -> float:
        """Accuracy on the test images, 0..1; NaN if it failed."""
        return float("nan") if self.hits is None else float(self.hits.mean())

    def to_json(self) -> str:
        """Return it as text; the hits are packed into bits, the first in the highest one."""
        packed = {} if self.hits is None else {"images": len(self.hits), "hits": _text(self.hits)}
        plain = {"network": self.network, "seed": self.seed, "reason": self.reason}
        return json.dumps({**plain, "figures": self.figures, **packed}) + "\n"

    @staticmethod
    def from_json(text: str) -> TrainingResult:
        """Return what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        images, packed = data.pop("images", None), data.pop("hits", "")
        return TrainingResult(hits=None if images is None else _bits(packed, images), **data)


def _text(hits: np.ndarray) -> str:
    return base64.b64encode(np.packbits(hits.astype(bool)).tobytes()).decode("ascii")


def _bits(text: str, images: int) -> np.ndarray:
    packed = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(packed, count=images).astype(bool)


Train = Callable[[NetworkSpec, int], TrainingResult]
"""Trains a network with a seed."""


def fill(
    folder: Path,
    networks: Sequence[NetworkSpec],
    seeds: int,
    train: Train,
    publish: Callable[[], None],
    say: Callable[[str], None] = print,
) -> None:
    """Do all trainings that no process has done or is doing: all with seed 0, then with seed 1...

    Args:
        folder: Folder of the table.
        networks: Networks in the order of their training.
        seeds: Number of trainings of each network.
        train: Trains a network.
        publish: Called after each training, to write the table anew.
        say: Prints a line.
    """
    jobs = [(spec, seed) for seed in range(seeds) for spec in networks]
    paths = [result_path(folder, spec.name, seed) for spec, seed in jobs]
    (folder / "trainings").mkdir(exist_ok=True)
    before, begun = sum(path.is_file() for path in paths), time.monotonic()
    say(f"{before} of {len(jobs)} trainings are done")
    for (spec, seed), path in zip(jobs, paths, strict=True):
        with claimed(path) as mine:
            if not mine:
                continue
            result = train(spec, seed)
            write_atomic(path, result.to_json())
        publish()
        done = sum(path.is_file() for path in paths)  # by other processes as well
        left = (time.monotonic() - begun) / max(1, done - before) * (len(jobs) - done)
        say(f"{done} of {len(jobs)}: {_line(result)}; about {timedelta(seconds=round(left))} left")
    missing = sum(not path.is_file() for path in paths)
    if missing:
        say(f"{missing} more trainings are left to other processes, which are at work on them")


def _line(result: TrainingResult) -> str:
    what = f"{result.network}, seed {result.seed}"
    if result.reason:
        return f"{what} failed: {result.reason}"
    return f"{what}, accuracy {result.accuracy:.2%}, {result.figures.get('seconds', 0):.0f} s"


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Claim a training; yield whether it is this process's to do."""
    lock = FileLock(path.with_suffix(".lock"))
    if path.is_file():
        yield False
        return
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield not path.is_file()  # another process may have finished it in between
    finally:
        lock.release()
        if path.is_file():  # whoever claims it from now on sees that it is done
            with suppress(OSError):  # another process has it open, on some systems
                path.with_suffix(".lock").unlink(missing_ok=True)


def result_path(folder: Path, network: str, seed: int) -> Path:
    """Return where the result of a training is."""
    return folder / "trainings" / f"{network}-seed{seed}.json"


def read_results(folder: Path, networks: Sequence[NetworkSpec]) -> list[TrainingResult]:
    """Return the results so far, by network and then seed.

    Raises:
        MixnasError: If a file is damaged.
    """
    found = []
    for spec in networks:
        paths = (folder / "trainings").glob(f"{spec.name}-seed*.json")
        results = []
        for path in paths:
            with parsing(path):
                results.append(TrainingResult.from_json(path.read_text(encoding="utf-8")))
        found += sorted(results, key=lambda result: result.seed)
    return found
