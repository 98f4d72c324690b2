"""What a supernet's weights are worth as the beginning of a training, or without any.

    python -m experiments.benchmarks.slice_training --data CIFAR-10 --out FOLDER
        [--epochs 1 2 5] [--seeds 3] [--trials 16] [--record]

The space `mixnet` is searched; its supernet stays in the run directory. The best network is then
trained by one recipe for some numbers of epochs, with several seeds each, from its slice of the
supernet's weights and from random ones. The table tells accuracies on the test images. Zero epochs
are the slice as it is exported: the program also counts the validation images that the exported
file classifies correctly, in ONNX Runtime, which should be as many as in the search.
The same command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import record, run, run_or_resume
from nas.accuracy.supernet.runs import open_run_supernet
from nas.export.writers.onnx_file import run_onnx
from nas.spec import load_network

STARTS = ("slice", "random")
RECIPE = (
    *("--set", "batch_size=64", "--set", "learning_rate=0.05", "--set", "warmup=0.1"),
    *("--set", "shift=0.125", "--set", "flip=true"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--out", required=True, type=Path, help="folder to create, or to continue")
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 2, 5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    folder = arguments.out / "search"
    run_or_resume(
        "nas.search",
        folder,
        *("--space", "mixnet", "--budget", "400M", "--seed", 0),
        *("--data", arguments.data, "--trials", arguments.trials),
        *("--confirm", 0, "--reference", "none"),
    )
    deployed = exported(folder, arguments.out / "slice.onnx")
    rows = [{"epochs": 0, "slice": [deployed["test_accuracy"]]}]
    show(rows[0])
    for epochs in arguments.epochs:
        accuracies = {
            start: [trained(arguments, folder, start, epochs, s) for s in range(arguments.seeds)]
            for start in STARTS
        }
        rows.append({"epochs": epochs, **accuracies})
        show(rows[-1])
    record(
        "slice_training",
        {"recipe": RECIPE[1::2], "exported": deployed, "rows": rows},
        "torch", "onnxruntime",
        write=arguments.record,
    )  # fmt: skip


def trained(
    arguments: argparse.Namespace, folder: Path, start: str, epochs: int, seed: int
) -> float:
    """Return the accuracy on the test images after a training, which is done only once."""
    out = arguments.out / f"{start}-{epochs}-{seed}"
    if not (out / "card.json").is_file():
        supernet = open_run_supernet(folder)
        weights = ("--weights", supernet.name) if start == "slice" else ()
        run_or_resume(
            "nas.train",
            out,
            *(folder / "best.yaml", "--data", arguments.data, *weights, *RECIPE),
            *("--resolution", supernet.trained.shown.resolution, "--seed", seed),
            *("--set", f"epochs={epochs}"),
            always=("--device", "none"),
        )
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    return round(float(card["test"]["top1"]), 4)


def exported(folder: Path, path: Path) -> dict[str, Any]:
    """Export the slice, and return what it is worth: as told, and counted in ONNX Runtime."""
    supernet = open_run_supernet(folder)
    if not path.is_file():
        run(
            *("nas.export", folder / "best.yaml", "--weights", supernet.name, "--lowered"),
            *("--out", path),
        )
    told = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))["accuracy"]
    found = supernet.slice_of(load_network(str(folder / "best.yaml")))
    logits_of = run_onnx(path)
    right = images = 0
    for pixels, labels in found.source.evaluate("validation"):
        logits = logits_of(found.augmentation.normalise(pixels).numpy())
        right += int((logits.argmax(1) == labels.numpy()).sum())
        images += len(labels)
    return {
        "test_accuracy": round(told["test"]["top1"], 4),
        "validation_images": images,
        "right_in_onnxruntime": right,
        "right_in_the_search": round(told["found"] * images),
    }


def show(row: dict[str, Any]) -> None:
    cells = [
        f"{start} {100 * statistics.mean(values):.2f}"
        + (f" +- {100 * statistics.stdev(values):.2f}" if len(values) > 1 else "")
        for start in STARTS
        if (values := row.get(start))
    ]
    print(f"{row['epochs']} epochs: " + ", ".join(cells) + " % of the test images", flush=True)


if __name__ == "__main__":
    main()
