"""Ranking cards on NAS-Bench-Macro with real CIFAR-10 images: quality against cost.

    NAS_BENCH_MACRO=nas-bench-macro_cifar10.json python -m experiments.benchmarks.ranking \
        --data CIFAR-10 [--only naswot short-middle ...] [-n 60] [--record]

All cards are of the same networks (drawn with seed 0). With ``--record``, cards replace those of
the same name in ``experiments/results/ranking.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from scipy.stats import kendalltau

from analysis.read.runs import plain
from analysis.statistics.ranking import ranking_card
from experiments.benchmarks.common import RESULTS, conditions, recorded
from experiments.benchmarks.macro_networks import networks, read_macro
from nas import cli
from nas.accuracy import open_estimator
from nas.accuracy.pool import ListedPool, NetworkPool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.table import TrainedNetwork
from nas.executors.base import Resources
from nas.files import write_atomic
from nas.machine import usable_cores
from nas.rank.run import RankingRun, draw_networks
from nas.rank.settings import RankingSettings

WIDER = 0.1  # relative difference of MAdds of networks that are alike in `wider_band`
SGD = (
    "zero_cost=,resolution=16,optimiser=sgd,learning_rate=0.1,weight_decay=4e-5,"
    "zero_residuals=false"
)
SMALL = "width=0.5,batch_size=32,score=speed"
ESTIMATORS = {
    "params": "zero-cost:params",
    "madds": "zero-cost:madds",
    "naswot": "zero-cost:naswot",
    "zico": "zero-cost:zico",
    "synflow": "zero-cost:synflow",
    "grad-norm": "zero-cost:grad-norm",
    "short": "short",
    "short-brief": "short:images=6400,width=1,score=accuracy",
    "short-few": "short:images=10000,resolution=24,batch_size=32,width=0.5,score=accuracy",
    "short-low": f"short:images=24000,resolution=16,{SMALL}",
    "short-middle": f"short:images=72000,resolution=16,{SMALL}",
    "short-high": f"short:images=72000,resolution=24,{SMALL}",
    "supernet": "supernet",
    "supernet-sgd": f"supernet:{SGD}",
    "supernet-sgd-high": f"supernet:images=1200000,{SGD}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--only", nargs="+", default=list(ESTIMATORS), choices=list(ESTIMATORS))
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    found = networks(read_macro())
    population = ListedPool([network.spec for network in found])
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            job = Job(name, ESTIMATORS[name], "NAS-Bench-Macro", found, population)
            result = card(job, arguments, Path(folder) / name)
            print(line(name, result), flush=True)
            if arguments.record:
                keep("ranking", name, result)


@dataclass(frozen=True)
class Job:
    """An estimator to test.

    Attributes:
        name: Name of the card.
        estimator: Name and settings of the estimator.
        table: Name of the table of trained networks.
        networks: The trained networks.
        population: Networks that the estimator prepares for.
    """

    name: str
    estimator: str
    table: str
    networks: list[TrainedNetwork]
    population: NetworkPool


def card(job: Job, arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Test one estimator; return its card with its cost."""
    estimator = open_estimator(job.estimator, arguments.data, job.population, arguments.seed)
    started = time.perf_counter()
    torch.set_num_threads(usable_cores())
    prepare_estimator(estimator, f"preparing {job.name}", Console(stderr=True))
    prepared = time.perf_counter() - started
    settings = RankingSettings(
        table=job.table,
        estimator=job.estimator,
        data="CIFAR-10",
        n=arguments.n,
        seed=arguments.seed,
    )
    chosen = draw_networks(job.networks, arguments.n, arguments.seed)
    run = RankingRun(path, estimator, chosen, settings)
    run.open()
    with cli.progress_bar(Console(stderr=True), job.name) as step:
        run.run(Resources(usable_cores(), 1), step)
    summary = run.summary(run.finish())
    rows = run.table()
    columns = ["name", "accuracy", "madds", "params", "score"]
    summary["networks"] = rows[columns].to_dict("records")
    summary["wider_band"] = wider_band(rows)
    summary["tau_of_other_scores"] = other_scores(rows)
    return {**conditions("torch", "kornia"), "prepare_seconds": round(prepared, 1), **summary}


def wider_band(rows: pd.DataFrame) -> dict[str, Any]:
    """Return Kendall's tau among more pairs than the card's, whose MAdds differ by up to 10%."""
    judged = rows[rows["score"].notna()]
    (ranking,) = ranking_card(judged, ["score"], tolerance=WIDER).rankings
    found: dict[str, Any] = plain(vars(ranking.band))
    return {"tolerance": WIDER, "pairs": ranking.band_pairs, **found}


def other_scores(rows: pd.DataFrame) -> dict[str, float]:
    """Return Kendall's tau of the other scores of a training run: validation accuracy and loss."""
    signs = {"estimated_accuracy": 1, "estimated_loss": -1}
    return {
        name.removeprefix("estimated_"): round(
            float(kendalltau(rows.accuracy, sign * rows[name])[0]), 4
        )
        for name, sign in signs.items()
        if rows[name].notna().all()
    }


def line(name: str, result: dict[str, Any]) -> str:
    """Return a card in one line."""
    first = result["rankings"][0]
    tau, band = first["tau"], first["band"]
    return (
        f"{name:13} tau {tau['value']:.3f} ({tau['low']:.2f} to {tau['high']:.2f}), like MAdds "
        f"{band['value']:.3f} ({band['low']:.2f} to {band['high']:.2f}); "
        f"{result['seconds_per_network']:g} s a network on one core"
    )


def keep(record: str, name: str, result: dict[str, Any]) -> None:
    """Add a card to a record."""
    cards = recorded(record).get("cards", {})
    cards[name] = result
    RESULTS.mkdir(exist_ok=True)
    write_atomic(RESULTS / f"{record}.json", json.dumps({"cards": cards}, indent=2) + "\n")


if __name__ == "__main__":
    main()
