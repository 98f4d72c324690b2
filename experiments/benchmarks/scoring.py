r"""How long a supernet takes to judge a network.

    python -m experiments.benchmarks.scoring --data FOLDER [--networks 12] [--resolution 36]
        [--record]

A supernet of `mixnet` is trained for a few steps, which is enough for the time. Random networks are
then judged as in a search: the slice of the shared weights and its calibration on 1,024 training
images, and the evaluation on up to 5,000 validation images; the latter also with weights whose
channels come first, in turns.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from experiments.benchmarks.common import record
from nas.accuracy.pool import SpacePool
from nas.accuracy.supernet import Supernet
from nas.accuracy.supernet.slices import TrainedSupernet
from nas.machine import usable_cores
from nas.space import load_space

STEPS_IMAGES = 640  # images of the training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--resolution", type=int, default=36)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(usable_cores())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIXNAS_CACHE"] = folder
        supernet = trained(arguments)
        rows = [judged(supernet, seed) for seed in range(arguments.networks)]
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    print(f"medians in seconds: {medians}")
    result = {"resolution": arguments.resolution, "networks": len(rows), "seconds": medians}
    record("scoring", {**result, "rows": rows}, "torch", write=arguments.record)


def trained(arguments: argparse.Namespace) -> TrainedSupernet:
    """Return a supernet of `mixnet` after a few steps of training."""
    space = load_space("mixnet")
    supernet = Supernet(arguments.data, resolution=arguments.resolution, images=STEPS_IMAGES)
    classes = supernet.shown.source().num_classes
    pool = SpacePool(space.with_classes(classes))
    made = Supernet(
        arguments.data, pool, STEPS_IMAGES, most_epochs=1, resolution=arguments.resolution
    )
    made.prepare()
    return made.trained


def judged(supernet: TrainedSupernet, seed: int) -> dict[str, float]:
    """Judge a random network; return the seconds of the parts."""
    space = load_space("mixnet")
    classes = supernet.shown.source().num_classes
    spec = space.with_classes(classes).decode(space.draw(random.Random(seed)))
    found, calibrated = timed(lambda: supernet.slice_of(spec, seed))
    last, evaluated = timed(lambda: found.evaluate("validation"))
    found.network.to(memory_format=torch.contiguous_format)
    first, before = timed(lambda: found.evaluate("validation"))
    row = {
        "slice_and_calibration": round(calibrated, 3),
        "evaluation": round(evaluated, 3),
        "evaluation_channels_first": round(before, 3),
        "difference": abs(first.accuracy - last.accuracy),
    }
    print(row, flush=True)
    return row


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Call a function; return its result and how many seconds it took."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


if __name__ == "__main__":
    main()
