"""Ranking cards on MixNets from the default search space.

    python -m experiments.benchmarks.ranking_mixnets --data CIFAR-10 [--only supernet] [--record]

There is no table of trained MixNets, so some are trained here first: drawn from `mixnet` with at
most 400M multiply-adds, and trained at full width on 60,000 images each (two minutes on two cores).
Such short training favors shallower networks, but shares no weights. The table,
``experiments/results/mixnets_cifar10.json``, is saved after each network, and an interrupted run
continues it; `nas.rank` reads it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from experiments.benchmarks.common import RESULTS, conditions
from experiments.benchmarks.ranking import ESTIMATORS as ON_MACRO
from experiments.benchmarks.ranking import Job, card, keep, line
from nas import cli
from nas.accuracy import open_estimator
from nas.accuracy.pool import SpacePool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.table import TrainedNetwork, read_networks
from nas.files import write_atomic
from nas.limits import parse_limits
from nas.machine import usable_cores
from nas.space import load_space

TRUTH = "short:images=60000,width=1,batch_size=64,stages=1,score=accuracy"
FIRST = 1_000  # seed of the first network
NAMES = ("params", "madds", "naswot", "zico", "synflow", "grad-norm", "supernet")
TABLE = RESULTS / "mixnets_cifar10.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("-n", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    space = load_space("mixnet").with_classes(10)
    population = SpacePool(space, tuple(parse_limits(["madds=400M"])))
    found = trained(population, arguments)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            job = Job(name, ON_MACRO[name], TABLE.name, found, population)
            result = card(job, arguments, Path(folder) / name)
            print(line(name, result), flush=True)
            if arguments.record:
                keep("ranking_mixnets", name, result)


def trained(population: SpacePool, arguments: argparse.Namespace) -> list[TrainedNetwork]:
    """Return the networks of the table; those that it lacks are trained."""
    rows: list[dict[str, Any]] = []
    if TABLE.is_file():
        rows = json.loads(TABLE.read_text(encoding="utf-8"))["networks"]
    estimator = open_estimator(TRUTH, arguments.data, population, arguments.seed)
    prepare_estimator(estimator, "reading the images", Console(stderr=True))
    torch.set_num_threads(usable_cores())
    with cli.progress_bar(Console(stderr=True), "training networks") as step:
        for number in range(len(rows), arguments.n):
            spec = population.draw(random.Random(FIRST + number))
            judged = estimator.estimate(spec, arguments.seed)
            rows.append({"spec": spec.to_dict(), "accuracies": [judged.accuracy]})
            document = {"training": TRUTH, **conditions("torch", "kornia"), "networks": rows}
            write_atomic(TABLE, json.dumps(document, indent=1) + "\n")
            step(len(rows), arguments.n)
    return read_networks(TABLE)[: arguments.n]


if __name__ == "__main__":
    main()
