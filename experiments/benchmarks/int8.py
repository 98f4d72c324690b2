r"""What int8 costs and gains: MixNet-S, and variants without swish and squeeze-and-excitation.

    python -m experiments.benchmarks.int8 [--data DATA] [--epochs 20] [--resolution 64]
        [--calibration 256] [--seeds 1] [--tiny] [--record]

Every network is trained from random weights on a data set (a folder of images such as CIFAR-10, or
the built-in digits), and exported for ONNX Runtime, LiteRT and OpenVINO, with each precision in the
form that is fastest there. The table shows the accuracy on the validation images, latency and
size with both precisions in the same runtime. Losses are told, not refused. `--tiny` shows in some
minutes that everything works: one epoch on digits at 32 pixels, in the form as trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import record
from nas.spec import NetworkSpec, load_network

RUNTIMES = {
    "onnx-int8": "onnxruntime:cpu",
    "tflite-int8": "litert:cpu",
    "openvino-int8": "openvino:cpu",
}
ACTIVATIONS = ("hard_swish", "relu6")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits", help="name or path of the data set")
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--resolution", type=int, default=64, help="side of the images, in pixels")
    parser.add_argument("--calibration", type=int, default=256, help="training images")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each network")
    parser.add_argument("--tiny", action="store_true", help="one epoch on digits at 32 pixels")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.data, arguments.epochs, arguments.resolution = "digits", 1, 32
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in networks(arguments.resolution):
            for seed in range(arguments.seeds):
                run = trained(spec, seed, Path(folder), arguments)
                for name in RUNTIMES:
                    rows.append(exported(run, name, spec.name, seed, arguments))
                    show(rows[-1])
    record(
        "int8",
        {
            "data": Path(arguments.data).name,
            "epochs": arguments.epochs,
            "resolution": arguments.resolution,
            "calibration_images": arguments.calibration,
            "rows": rows,
        },
        "torch", "onnxruntime", "ai-edge-litert", "ai-edge-quantizer", "openvino", "nncf",
        write=arguments.record,
    )  # fmt: skip


def networks(resolution: int) -> list[NetworkSpec]:
    """Return MixNet-S, and variants with another activation and without SE."""
    original = load_network("mixnet_s").at(resolution)
    return [original, *(without_gates(original, activation) for activation in ACTIVATIONS)]


def without_gates(spec: NetworkSpec, activation: str) -> NetworkSpec:
    """Return a network with another function for swish, and without squeeze-and-excitation."""

    def changed(block: Any) -> Any:
        kept = block.activation != "swish"
        function = block.activation if kept else activation
        return dataclasses.replace(block, se_ratio=0, activation=function)

    stages = tuple(tuple(changed(block) for block in stage) for stage in spec.stages)
    return spec.replace(stages=stages, name=f"{spec.name}_{activation}")


def trained(spec: NetworkSpec, seed: int, folder: Path, arguments: argparse.Namespace) -> Path:
    """Train a network, and return the folder of the training."""
    path, run = folder / f"{spec.name}.yaml", folder / f"{spec.name}-{seed}"
    spec.save(path)
    command(
        *("nas.train", str(path), "--data", arguments.data, "--seed", str(seed)),
        *("--set", f"epochs={arguments.epochs}", "--device", "none", "--out", str(run)),
    )
    return run


def exported(
    run: Path, name: str, network: str, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Export a training with int8, and return a row of the table."""
    device = RUNTIMES[name]
    form = () if arguments.tiny else ("--lowered",)
    told = command("nas.export", str(run), "--format", name, "--device", device, *form,
                   "--calibration", str(arguments.calibration), "--max-loss", "100",
                   "--json")  # fmt: skip
    facts = json.loads(told)["int8"]
    latency = {key: value["steady_ms"] for key, value in facts["latency"].items()}
    return {
        "network": network,
        "seed": seed,
        "runtime": device,
        "accuracy": facts["accuracy"],
        "steady_ms": latency,
        "times_as_long": round(latency["int8"] / latency["fp32"], 3),
        "noise": {key: value["noise"] for key, value in facts["latency"].items()},
        "bytes": facts["bytes"],
    }


def show(row: dict[str, Any]) -> None:
    """Print a row of the table."""
    accuracy, times, sizes = row["accuracy"], row["steady_ms"], row["bytes"]
    print(
        f"{row['network']:20} seed {row['seed']} {row['runtime']:16} "
        f"accuracy {accuracy['fp32']:.1%} -> {accuracy['int8']:.1%} "
        f"({0.0 - accuracy['loss_points']:+.1f} +- {accuracy['loss_points_error']:.1f} points)  "
        f"{times['fp32']:.2f} -> {times['int8']:.2f} ms ({row['times_as_long']:.2f} times)  "
        f"{sizes['fp32'] / 1e6:.2f} -> {sizes['int8'] / 1e6:.2f} MB",
        file=sys.stderr,
        flush=True,
    )


def command(*words: str) -> str:
    """Run a command of ours, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
