"""What the best of thousands of scores is worth: chosen by scores, or by what they suggest.

    python -m experiments.benchmarks.winners --data CIFAR-10 --out FOLDER [--trials 2000]
        [--choices 5] [--seeds 2] [--images 60000] [--search-only] [--record]

A latency predictor is fitted, and one command searches `mixnet` with a supernet and many trials.
The best network of each of some ranges of latency is then chosen twice: by the scores as estimated,
and by what all scores suggest of a network (see `nas.study.beliefs`). The chosen networks, and as
many that are drawn at random, are trained by the recipe of the table of MixNets
(`experiments.mixnet_table`), and evaluated on the test images. The table tells by how many
percentage points the chosen networks were promised to be better than the random ones, and by how
many they are.

The same command continues what was interrupted; several processes at a time share the trainings
(start the command once per core, after the search has ended: see --search-only).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import sem

from analysis.read.runs import read_run, within_limits
from analysis.schema import RAW_SCORE, VARIABLE
from experiments.benchmarks.common import record, run, run_or_resume
from experiments.mixnet_table.networks import CLASSES, SPACE, planned
from experiments.mixnet_table.recipe import IMAGES, open_training, trained
from experiments.mixnet_table.trainings import fill, read_results
from nas.errors import MixnasError
from nas.files import cache_folder, write_atomic
from nas.space import load_space
from nas.spec import NetworkSpec

CHOICES = {"scores": RAW_SCORE, "beliefs": "score"}
"""Columns that networks are chosen by."""
RANDOM = "random"
BUDGET = "400M"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--out", required=True, type=Path, help="folder to create, or to continue")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--choices", type=int, default=5, help="ranges of latency")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each network")
    parser.add_argument("--images", type=int, default=IMAGES, help="seen by a training")
    parser.add_argument("--search-only", action="store_true", help="train nothing yet")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    searched = search(arguments)
    if arguments.search_only:
        return
    found = read_run(arguments.out / "search")
    chosen = chosen_trials(within_limits(found.completed), arguments.choices)
    torch.set_num_threads(1)
    networks = {number: network_of(found.trials, number) for number in numbers_of(chosen)}
    accuracies = trainings(arguments, list(networks.values()))
    if accuracies is None:
        return  # the process that finishes the last one tells the result
    by_number = {number: accuracies[spec.name] for number, spec in networks.items()}
    result = summary(found.completed, chosen, by_number)
    record(
        "winners",
        {"trials": len(found.completed), **searched, "images": arguments.images, **result},
        "torch", "onnxruntime", "optuna",
        write=arguments.record,
    )  # fmt: skip


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Search, unless it is done.

    Returns:
        ``seconds`` that it took, None if it was interrupted; ``supernet_trained``, whether a part
        of them was the training of the supernet, which the cache did not have; and
        ``fitting_seconds``, of the latency predictor, which come before.
    """
    arguments.out.mkdir(parents=True, exist_ok=True)
    fitting = _once(arguments.out / "fitting.json", _fit)
    return {**_once(arguments.out / "search.json", lambda: _search(arguments)), **fitting}


def _once(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is told of some work in a file; it is done if there is none yet."""
    if not path.is_file():
        write_atomic(path, json.dumps(work()))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _fit() -> dict[str, Any]:
    begun = time.perf_counter()
    run("nas.device", "fit", "--space", SPACE, "--budget", BUDGET)
    return {"fitting_seconds": round(time.perf_counter() - begun, 1)}


def _search(arguments: argparse.Namespace) -> dict[str, Any]:
    interrupted = (arguments.out / "search").exists()
    before, begun = set(cache_folder("supernets").glob("*.safetensors")), time.perf_counter()
    run_or_resume(
        "nas.search",
        arguments.out / "search",
        *("--space", SPACE, "--budget", BUDGET, "--data", arguments.data),
        *("--trials", arguments.trials, "--seed", 0, "--confirm", 0, "--reference", "none"),
    )
    return {
        "seconds": None if interrupted else round(time.perf_counter() - begun, 1),
        "supernet_trained": set(cache_folder("supernets").glob("*.safetensors")) != before,
    }


def trainings(
    arguments: argparse.Namespace, networks: Sequence[NetworkSpec]
) -> dict[str, list[float]] | None:
    """Train networks with several seeds each.

    Returns:
        Accuracies on the test images by network; None while other processes train some of them.

    Raises:
        MixnasError: If the folder has trainings of other networks or by another recipe.
    """
    short, folder = open_training(arguments.data, arguments.images), arguments.out / "trained"
    plan = planned(folder, {"fingerprint": short.fingerprint()}, lambda: list(networks))
    if {spec.name for spec in plan} != {spec.name for spec in networks}:
        raise MixnasError(f"{folder} has trainings of other networks; choose another --out")
    say = partial(print, flush=True)
    fill(folder, plan, arguments.seeds, partial(trained, short), lambda: None, say)
    results = read_results(folder, plan)
    if len(results) < arguments.seeds * len(plan):
        return None
    accuracies: dict[str, list[float]] = {}
    for each in results:
        accuracies.setdefault(each.network, []).append(round(each.accuracy, 5))
    return accuracies


def chosen_trials(trials: pd.DataFrame, choices: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return the best trials of ranges of latency, and random ones.

    Args:
        trials: Completed trials, with both columns of `CHOICES`.
        choices: Number of ranges, which divide the trials into parts of equal size.
        seed: Random seed of the random ones.

    Returns:
        For each range: ``from_ms``, ``to_ms``, and the number of the trial by the choice's name.
    """
    rng, times = random.Random(seed), trials["latency_ms"]
    rows = []
    for k in range(1, choices + 1):
        low, high = (float(times.quantile(q / choices)) for q in (k - 1, k))
        alike = trials[(times <= high) & ((times > low) | (k == 1))]
        row: dict[str, Any] = {"from_ms": round(low, 3), "to_ms": round(high, 3)}
        for choice, column in CHOICES.items():
            row[choice] = int(alike.loc[alike[column].idxmax(), "number"])
        row[RANDOM] = int(rng.choice(list(alike["number"])))
        rows.append(row)
    return rows


def numbers_of(chosen: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the trials that were chosen, each once."""
    return list(dict.fromkeys(row[kind] for row in chosen for kind in (*CHOICES, RANDOM)))


def network_of(trials: pd.DataFrame, number: int) -> NetworkSpec:
    """Return the network of a trial, for CIFAR-10's classes."""
    (row,) = trials[trials["number"] == number].to_dict("records")
    values = {
        str(name).removeprefix(VARIABLE): value
        for name, value in row.items()
        if str(name).startswith(VARIABLE) and not pd.isna(value)
    }
    space = load_space(SPACE).with_classes(CLASSES)
    return space.decode(space.from_params(values), f"trial_{number}")


def summary(
    trials: pd.DataFrame,
    chosen: Sequence[Mapping[str, Any]],
    accuracies: Mapping[int, Sequence[float]],
) -> dict[str, Any]:
    """Return what was promised of the chosen networks, and what their trainings kept.

    Args:
        trials: Completed trials.
        chosen: Chosen trials (see `chosen_trials`).
        accuracies: Accuracies of the trained networks on the test images, by trial.

    Returns:
        A row for each range and choice, and for each choice its leads over the random networks
        as promised and as trained: the means over the ranges, and of the latter the standard error.
    """
    scores = trials.set_index("number")[list(CHOICES.values())]
    rows = [
        {
            "from_ms": row["from_ms"],
            "to_ms": row["to_ms"],
            "chosen_by": kind,
            "trial": row[kind],
            **{choice: round(float(scores.loc[row[kind], c]), 5) for choice, c in CHOICES.items()},
            "accuracies": list(accuracies[row[kind]]),
        }
        for row in chosen
        for kind in (*CHOICES, RANDOM)
    ]
    drawn = [row for row in rows if row["chosen_by"] == RANDOM]
    leads = {}
    for choice in CHOICES:
        own = [row for row in rows if row["chosen_by"] == choice]
        pairs = list(zip(own, drawn, strict=True))
        kept = [
            statistics.mean(a["accuracies"]) - statistics.mean(b["accuracies"]) for a, b in pairs
        ]
        leads[choice] = {
            "promised": round(statistics.mean(a[choice] - b[choice] for a, b in pairs), 5),
            "kept": round(statistics.mean(kept), 5),
            "kept_standard_error": round(float(sem(kept)), 5),
        }
    return {"score_sd": round(float(scores[RAW_SCORE].std()), 5), "leads": leads, "rows": rows}


if __name__ == "__main__":
    main()
