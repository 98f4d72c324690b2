"""The table itself: what readers get of a folder's trainings, and its summary.

``table.json`` is what `nas.rank` reads: networks with the accuracies of their trainings on the test
images. ``table.csv`` has a row per training. ``hits.npz`` tells which test images each training
classifies correctly: ``hits[i]``, packed into bits by `numpy.packbits`, are those of the training
of ``networks[i]`` with ``seeds[i]``, and ``labels`` are the images' classes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.runs import plain
from analysis.statistics.ranking import ranking_card
from experiments.mixnet_table.networks import network_path, read_plan
from experiments.mixnet_table.trainings import TrainingResult, read_results
from nas.cost import count
from nas.files import in_turn, write_atomic
from nas.spec import NetworkSpec

FEWEST = 3  # networks that Kendall's tau is computed of


def publish(folder: Path, networks: Sequence[NetworkSpec], labels: np.ndarray) -> None:
    """Write the table of all trainings so far.

    Args:
        folder: Folder of the table.
        networks: Its networks.
        labels: Classes of the test images, integers (N,).

    Raises:
        MixnasError: If the result of a training is damaged.
    """
    with in_turn(folder / ".lock", f"another process is writing the table of {folder}"):
        results = [found for found in read_results(folder, networks) if found.hits is not None]
        rows = training_rows(results, networks)
        plan = read_plan(folder)
        del plan["networks"]
        document = {**plan, "summary": summary(rows), "networks": _networks(folder, rows)}
        write_atomic(folder / "hits.npz", _packed(results, labels))
        write_atomic(folder / "table.csv", rows.to_csv(index=False, lineterminator="\n"))
        write_atomic(folder / "table.json", json.dumps(document, indent=1) + "\n")


def training_rows(
    results: Sequence[TrainingResult], networks: Sequence[NetworkSpec]
) -> pd.DataFrame:
    """Return one row per training: its network with costs at its resolution, and its figures."""
    costs = {spec.name: count(spec) for spec in networks}
    digests = {spec.name: spec.digest() for spec in networks}
    return pd.DataFrame(
        [
            {
                "network": result.network,
                "spec_hash": digests[result.network],
                "madds": costs[result.network].madds,
                "params": costs[result.network].params,
                "seed": result.seed,
                "test_accuracy": result.accuracy,
                **result.figures,
            }
            for result in results
        ]
    )


def _networks(folder: Path, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the networks that have been trained, as `nas.accuracy.table` reads them."""
    if rows.empty:
        return []
    return [
        {
            "spec": network_path(folder, str(name)).relative_to(folder).as_posix(),
            "madds": int(trained["madds"].iloc[0]),
            "params": int(trained["params"].iloc[0]),
            "accuracies": [round(value, 6) for value in trained["test_accuracy"]],
        }
        for name, trained in rows.groupby("network", sort=False)
    ]


def _packed(results: Sequence[TrainingResult], labels: np.ndarray) -> bytes:
    hits = [found.hits for found in results if found.hits is not None]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        networks=np.array([found.network for found in results], dtype=np.str_),
        seeds=np.array([found.seed for found in results], dtype=np.int64),
        hits=np.packbits(np.array(hits, dtype=bool).reshape(len(hits), len(labels)), axis=1),
        labels=labels.astype(np.uint8),
    )
    return file.getvalue()


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how far networks and seeds are apart, and how far two trainings agree on a ranking.

    Args:
        rows: One row per training (see `training_rows`).

    Returns:
        The number of trainings; the range of accuracies, of the means over seeds; the standard
        deviation between seeds, pooled over the networks with several; and Kendall's tau between
        seeds 0 and 1, with its bootstrap interval over networks: how well another training ranks
        them. What is not known yet is left out.
    """
    if rows.empty:
        return {"trainings": 0}
    by_seed = rows.pivot(index="network", columns="seed", values="test_accuracy")
    means = by_seed.mean(axis=1)
    found: dict[str, Any] = {
        "trainings": len(rows),
        "networks": len(by_seed),
        "accuracy_lowest": round(float(means.min()), 4),
        "accuracy_highest": round(float(means.max()), 4),
        "accuracy_between_networks_sd": round(float(means.std()), 5),
    }
    if not {0, 1} <= set(by_seed):
        return found
    variances = by_seed.var(axis=1).dropna()
    if len(variances):
        found["accuracy_between_seeds_sd"] = round(float(np.sqrt(variances.mean())), 5)
    both = by_seed[[0, 1]].dropna()
    if len(both) >= FEWEST:
        costs = rows.drop_duplicates("network").set_index("network").loc[both.index]
        card = ranking_card(costs.assign(accuracy=both.mean(axis=1)), [], both.to_numpy())
        found["networks_with_both_seeds"] = len(both)
        found["tau_between_seeds"] = plain(vars(card.seeds))
    return found
