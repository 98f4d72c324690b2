r"""What pretrained weights are worth with few images of one's own.

    python -m experiments.benchmarks.few_images --data FOLDER --out FOLDER [--network mixnet_m]
        [--epochs 3] [--images 200] [--trials 12] [--record]

Of the data set (folders ``train/CLASS`` and ``test/CLASS``, as of CIFAR-10's images), a network is
pretrained on all classes but the last two. Then the space `mixnet` is searched twice on a few
hundred images of each of these two: from random weights, and from those that its networks share
with the pretrained one. The table shows, for the networks that were retrained at the end, three
times each, their accuracy on all test images of the two classes. The same command continues what
was interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.benchmarks.common import record, run_or_resume

OWN = 2  # classes of one's own
SIDE = 32  # pixels
CONFIRMED = 1  # networks of the front that are retrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder to create, or to continue")
    parser.add_argument("--network", default="mixnet_m")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--images", type=int, default=200, help="training images of each class")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    result = compared(arguments, arguments.out)
    record("few_images", result, "torch", write=arguments.record)


def compared(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Pretrain, search with and without the weights, and return all accuracies."""
    classes = sorted(path.name for path in (arguments.data / "train").iterdir())
    others, own = classes[:-OWN], classes[-OWN:]
    link(arguments.data, folder / "others", others, most=None)
    link(arguments.data, folder / "own", own, most=arguments.images)
    weights, card = pretrained(arguments, folder)
    rows = {}
    for start in ("random", "pretrained"):
        settings = f",weights={weights}" if start == "pretrained" else ""
        rows[start] = searched(arguments, folder, start, settings)
    return {
        "network": arguments.network,
        "epochs": arguments.epochs,
        "resolution": SIDE,
        "pretrained_on": others,
        "pretrained_top1": round(card["test"]["top1"], 4),
        "searched_on": own,
        "images_per_class": arguments.images,
        "trials": arguments.trials,
        **rows,
    }


def link(data: Path, folder: Path, classes: Sequence[str], most: int | None) -> None:
    """Lay out some classes of a data set in a folder, with links to their images.

    Args:
        data: The data set.
        folder: Folder to create.
        classes: Names of the classes.
        most: Number of training images of each class; None for all.
    """
    for part in ("train", "test"):
        for name in classes:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            images = sorted((data / part / name).iterdir())
            for image in images[: most if part == "train" else None]:
                linked = folder / part / name / image.name
                if not linked.is_symlink():
                    linked.symlink_to(image.resolve())


def pretrained(arguments: argparse.Namespace, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Train the network on the other classes; return its weights and its card."""
    out = folder / "network"
    run_or_resume(
        "nas.train",
        out,
        *(arguments.network, "--data", folder / "others", "--resolution", SIDE),
        *("--set", f"epochs={arguments.epochs}", "--set", "batch_size=64", "--set", "flip=true"),
        always=("--device", "none"),
    )
    card: dict[str, Any] = json.loads((out / "card.json").read_text(encoding="utf-8"))
    return out / "weights.safetensors", card


def searched(
    arguments: argparse.Namespace, folder: Path, start: str, settings: str
) -> dict[str, Any]:
    """Search on one's own classes; return the accuracies of the retrained networks by name."""
    out = folder / f"search_{start}"
    run_or_resume(
        "nas.search",
        out,
        *("--space", "mixnet", "--budget", "400M", "--data", folder / "own"),
        *("--estimator", f"supernet:resolution={SIDE},flip=true{settings}"),
        *("--retrain", "flip=true", "--trials", arguments.trials, "--seed", 0),
        *("--confirm", CONFIRMED, "--reference", "mixnet_s"),
    )
    table = pd.read_csv(out / "confirmed.csv").groupby("name")["test"]
    trials = pd.read_csv(out / "trials.csv")
    return {
        "mean_score": round(float(trials["score"].mean()), 4),
        "retrained": {
            str(name): [round(float(value), 4) for value in values] for name, values in table
        },
    }


if __name__ == "__main__":
    main()
