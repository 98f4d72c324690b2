"""Settings of the supernet: how well it ranks trained networks, and what its training costs.

    NAS_BENCH_MACRO=nas-bench-macro_cifar10.json python -m experiments.benchmarks.supernet_settings
        --data CIFAR-10 --out FOLDER [--on mixnet macro] [--only NAME ...] [--seeds 1] [--record]

Supernets with different settings are trained on CIFAR-10, and score the networks of two tables:
that of MixNets (`experiments.mixnet_table`), and 60 of NAS-Bench-Macro. The result is Kendall's tau
with its 95% interval, over all networks and over the pairs whose MAdds differ by less than 10%, and
the core-seconds that it took to prepare the supernet, if that was not interrupted and the cache did
not have its weights. A score is the mean of a network's accuracy with shared weights and of those
that other estimators suggest; the result is also told for other shares of these, from 0 (the
accuracy alone) to 1. Every supernet's scores are saved in the folder at once; the same command
continues what was interrupted, and several processes share the work (start the command once per
core). The result is told of all supernets in the folder, and of the accuracies that the tables hold
now.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from analysis.read.runs import plain
from analysis.statistics.ranking import ranking_card
from experiments.benchmarks.common import record
from experiments.benchmarks.macro_networks import networks as macro_networks
from experiments.benchmarks.macro_networks import read_macro
from experiments.benchmarks.ranking import WIDER
from experiments.benchmarks.ranking_mixnets import tested as mixnets
from experiments.mixnet_table import TABLE
from experiments.mixnet_table.trainings import claimed
from nas.accuracy import open_estimator
from nas.accuracy.pool import ListedPool, NetworkPool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.supernet import Supernet
from nas.accuracy.table import TrainedNetwork
from nas.cost import count
from nas.files import write_atomic
from nas.rank.run import draw_networks

SETTINGS = {
    "default": "",
    "half": "images=100000",
    "twice": "images=400000",
    "four times": "images=800000,most_epochs=40",
    "average .99": "ema=0.99",
    "average .999": "ema=0.999",
    "shrinking": "shrinking=0.3",
    "two paths": "paths=2,images=100000",
    "three paths": "paths=3,images=66667",
    "four paths": "paths=4,images=50000",
    "two paths, labels": "paths=2,images=100000,distill=0",
    "two paths, teacher": "paths=2,images=100000,distill=1",
    "three paths, shrinking": "paths=3,images=66667,shrinking=0.3",
    "flipped": "flip=true",
    "slower": "learning_rate=0.0015",
    "faster": "learning_rate=0.006",
    "small batches": "batch_size=32",
    "short training": "short=3200",
    "longer training": "short=6400",
}
"""Settings by name; by the images seen, all cost as much as the default unless their name says so.
"""
TABLES = ("mixnet", "macro")
MACRO_NETWORKS = 60
SHARES = (0, 1 / 3, 2 / 3, 1)
"""Of estimates other than the accuracy with shared weights."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--out", required=True, type=Path, help="folder to create, or to continue")
    parser.add_argument("--on", nargs="+", default=["mixnet"], choices=TABLES)
    parser.add_argument("--only", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=1, help="supernets of each setting")
    parser.add_argument("--table", type=Path, default=TABLE, help="of trained MixNets")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tables = {on: tested(on, arguments.table) for on in arguments.on}
    jobs = [(on, name, seed) for seed in range(arguments.seeds) for name in arguments.only
            for on in arguments.on]  # fmt: skip
    for on, name, seed in jobs:
        path = result_path(arguments.out, on, name, seed)
        with claimed(path) as mine:
            if mine:
                words = ",".join(filter(None, (SETTINGS[name], f"seed={seed}")))
                write_atomic(path, json.dumps(scored(arguments.data, *tables[on], words)))
                print(f"{on}, {name}, seed {seed}", flush=True)
    if not all(result_path(arguments.out, *job).is_file() for job in jobs):
        return  # the process that finishes the last one tells the result
    rows = []
    for on, name in itertools.product(TABLES, SETTINGS):
        if found := read_scores(arguments.out, on, name):
            networks, _ = tables[on] if on in tables else tested(on, arguments.table)
            rows.append(summary(on, name, networks, found))
            print(line(rows[-1]))
    record(
        "supernet_settings",
        {"tolerance": WIDER, "rows": rows},
        "torch", "kornia",
        write=arguments.record,
    )  # fmt: skip


def tested(on: str, table: Path) -> tuple[list[TrainedNetwork], NetworkPool]:
    """Return the trained networks of a table, and the networks that a supernet is trained for."""
    if on == "macro":
        found = macro_networks(read_macro())
        return draw_networks(found, MACRO_NETWORKS, 0), ListedPool([each.spec for each in found])
    return mixnets(table)


def result_path(folder: Path, on: str, name: str, seed: int) -> Path:
    """Return where the scores of a supernet are."""
    return folder / f"{on}-{name.replace(' ', '_')}-seed{seed}.json"


def read_scores(folder: Path, on: str, name: str) -> list[dict[str, Any]]:
    """Return what `scored` found, by seed, of all seeds that there are."""
    found = []
    while (path := result_path(folder, on, name, len(found))).is_file():
        found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


def scored(
    data: str, networks: Sequence[TrainedNetwork], pool: NetworkPool, settings: str
) -> dict[str, Any]:
    """Train a supernet and let it score networks.

    Returns:
        Settings, core-seconds of the preparation (None if a part of it had been done before) and
        seconds of a score; and the accuracies that a network's estimates suggest, in log odds, by
        the digest of the network (`Ensemble.suggested`).
    """
    estimator = open_estimator(f"supernet:{settings}", data, pool, 0)
    assert isinstance(estimator, Supernet)
    begun = any(estimator.path.parent.glob(f"{estimator.path.stem}.[sc]*"))  # weights, checkpoint
    computed = time.process_time()
    prepare_estimator(estimator, settings, Console(stderr=True))
    computed = time.process_time() - computed
    started, scores = time.perf_counter(), {}
    for network in networks:
        estimates = estimator.each_estimate(network.spec, 0)
        scores[network.spec.digest()] = estimator.ensemble.suggested(estimates)
    return {
        "settings": settings,
        "core_seconds": None if begun else round(computed),
        "seconds_per_network": round((time.perf_counter() - started) / len(networks), 2),
        "scores": scores,
    }


def summary(
    on: str, name: str, networks: Sequence[TrainedNetwork], found: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return how well a setting ranks networks: Kendall's tau of each of its supernets.

    Args:
        on: Name of the table.
        name: Name of the setting.
        networks: Networks of the table; those that have no score are left out.
        found: What `scored` returned for each seed.
    """
    supernets = []
    for each in found:
        rows = pd.DataFrame(
            [
                {
                    "accuracy": n.accuracy,
                    "madds": count(n.spec).madds,
                    "score": statistics.mean(suggested),
                    **_with_shares(*suggested),
                }
                for n in networks
                if (suggested := each["scores"].get(n.spec.digest())) is not None
            ]
        )
        names = [name for name in rows if name not in ("accuracy", "madds")]
        own, *others = (
            {"tau": plain(vars(ranking.tau)), "band": plain(vars(ranking.band))}
            for ranking in ranking_card(rows, names, tolerance=WIDER).rankings[: len(names)]
        )
        shares = [{"share": s, **r} for s, r in zip(SHARES, others, strict=True)]
        supernets.append({"n": len(rows), **own, "shares": shares})
    seconds = [each["core_seconds"] for each in found if each["core_seconds"] is not None]
    return {
        "table": on,
        "name": name,
        "settings": SETTINGS[name],
        "core_seconds": round(statistics.median(seconds)) if seconds else None,
        "seconds_per_network": statistics.median(each["seconds_per_network"] for each in found),
        "supernets": supernets,
    }


def _with_shares(own: float, *others: float) -> dict[str, float]:
    """Return the scores of a network with other shares of what other estimates suggest."""
    suggested = statistics.mean(others) if others else own
    return {f"share {s:.2f}": (1 - s) * own + s * suggested for s in SHARES}


def line(row: dict[str, Any]) -> str:
    """Return a row of the table in words."""
    taus = "; ".join(
        f"{each['tau']['value']:.3f} ({each['tau']['low']:.2f} to {each['tau']['high']:.2f}), like "
        f"MAdds {each['band']['value']:.3f}, by shares of other estimates "
        + ", ".join(f"{s['share']:.0%} {s['tau']['value']:.3f}" for s in each["shares"])
        for each in row["supernets"]
    )
    return f"{row['table']:7} {row['name']:24} {row['core_seconds']} core-seconds: {taus}"


if __name__ == "__main__":
    main()
