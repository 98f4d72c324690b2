"""Measures how many seconds a network's score takes once a supernet is trained.

    python -m experiments.benchmarks.scoring --data CIFAR-10 [--networks 20] [--threads 1]
                                             [--record]

A supernet of `mixnet` is trained for a moment, since scores take as long whatever the weights are.
Networks of up to 400M multiply-adds take their slices of the weights, which are calibrated and then
evaluated in two forms, once each, since a search scores a network once: as trained, and lowered, as
scores are computed on a CPU. Every other network begins with the lowered form. The zero-cost score
comes last.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch
from rich.console import Console

from experiments.benchmarks.common import record
from nas.accuracy.naming import open_estimator
from nas.accuracy.pool import SpacePool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.supernet import NetworkSlice, Supernet
from nas.limits import Limit
from nas.space import load_space
from nas.spec import NetworkSpec
from nas.train.loop import evaluate

TRAINING_IMAGES = 6_400
MOST_MADDS = 400_000_000
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="as a worker of a search has [1]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    limit = Limit("madds", upper=MOST_MADDS)
    pool = SpacePool(load_space("mixnet").with_classes(CLASSES), (limit,))
    settings = f"supernet:images={TRAINING_IMAGES}"
    supernet = open_estimator(settings, arguments.data, pool, arguments.seed)
    assert isinstance(supernet, Supernet)
    prepare_estimator(supernet, "training a supernet for a moment", Console(stderr=True))
    rng = random.Random(arguments.seed)
    rows = []
    for number in range(arguments.networks + 1):
        row = timed(supernet, pool.draw(rng), number)
        if number:  # the first one reads the images, and warms the processor up
            rows.append(row)
            print(", ".join(f"{key} {value:g}" for key, value in row.items()), flush=True)
    record(
        "scoring",
        {
            "threads": arguments.threads,
            "resolution": supernet.resolution,
            "calibration_images": supernet.calibration,
            "validation_images": supernet.validation,
            "seconds": {
                key: round(statistics.median(row[key] for row in rows), 3) for key in PARTS
            },
            "ratio": round(statistics.mean(r["lowered"] / r["as trained"] for r in rows), 3),
            "networks": rows,
        },
        "torch",
        write=arguments.record,
    )  # fmt: skip


PARTS = ("calibration", "as trained", "lowered", "zero-cost score")


def timed(supernet: Supernet, spec: NetworkSpec, number: int) -> dict[str, float]:
    """Return the seconds of each part of a network's score."""
    started = time.perf_counter()
    found = supernet.trained.slice_of(spec, number)
    seconds = {"calibration": time.perf_counter() - started}
    forms = {"as trained": as_trained, "lowered": lowered}
    for name in sorted(forms, reverse=bool(number % 2)):
        started = time.perf_counter()
        forms[name](found)
        seconds[name] = time.perf_counter() - started
    (zero_cost,) = supernet.others
    started = time.perf_counter()
    zero_cost.estimate(spec, number)
    seconds["zero-cost score"] = time.perf_counter() - started
    return {key: round(seconds[key], 3) for key in PARTS}


def as_trained(found: NetworkSlice) -> None:
    evaluate(found.network, found.source, "validation", found.augmentation, found.placement)


def lowered(found: NetworkSlice) -> None:
    found.evaluate("validation")


if __name__ == "__main__":
    main()
