"""Ranking cards on MixNets from the default search space.

    python -m experiments.benchmarks.ranking_mixnets --data CIFAR-10 [--table FILE]
                                                     [--only supernet] [-n 64] [--record]

The networks are those of `mixnet` in the table that ``python -m experiments.mixnet_table`` makes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from experiments.benchmarks.ranking import ESTIMATORS as ON_MACRO
from experiments.benchmarks.ranking import Job, card, keep, line
from experiments.mixnet_table import TABLE
from experiments.mixnet_table.networks import CLASSES, MOST, SPACE
from nas.accuracy.pool import SpacePool
from nas.accuracy.table import TrainedNetwork, read_networks
from nas.limits import Limit
from nas.space import Space, load_space

NAMES = ("params", "madds", "naswot", "zico", "synflow", "grad-norm", "short-few",
         "short-brief", "short", "supernet")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--table", type=Path, default=TABLE, help="of trained networks")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    found, population = tested(arguments.table)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            job = Job(name, ON_MACRO[name], arguments.table.name, found, population)
            result = card(job, arguments, Path(folder) / name)
            print(line(name, result), flush=True)
            if arguments.record:
                keep("ranking_mixnets", name, result)


def tested(table: Path) -> tuple[list[TrainedNetwork], SpacePool]:
    """Return the networks of a table that are ranked, and those that estimators prepare for."""
    space = load_space(SPACE).with_classes(CLASSES)
    return members(table, space), SpacePool(space, (Limit("madds", upper=MOST),))


def members(table: Path, space: Space) -> list[TrainedNetwork]:
    """Return the networks of a table that the space holds; the supernet ranks no others."""
    networks = read_networks(table, space.num_classes)
    return [network for network in networks if space.contains(network.spec)]


if __name__ == "__main__":
    main()
