r"""What is lost by deploying the network that another runtime's search found.

    python -m experiments.benchmarks.two_devices [--devices litert:cpu onnxruntime:cpu]
        [--trials 48] [--seeds 3] [--budget 400M] [--data DATA] [--record]

`mixnet` is searched with the same data, supernet and seed for one device and for the other, and so
for several seeds of the sampler, as one search differs from the next. All networks of all fronts
are then measured on both devices, and evaluated with the shared weights on the test images, which
no search has seen. For a few latencies on each device, the table shows the test accuracy of the
network that each search would deploy: that with the highest score within the latency; the
difference is the price of deploying the other device's winner. The figure shows the mean over the
seeds for all latencies, and all networks. The program also tells the share of each kernel size in
the networks of the fronts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.style import PALETTE, legend, save, style
from analysis.read.architectures import parse_architecture
from experiments.benchmarks.common import RESULTS, record, search_devices
from nas.accuracy.supernet.runs import open_run_supernet
from nas.latency import LocalDevice, MeasurementSettings, measure_quietly
from nas.space import load_space
from nas.space.rows import genotype_of_row

MARGINS = (1.0, 1.5, 2.0, 3.0)  # latencies, in units of the smallest that all searches reach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs=2, default=["litert:cpu", "onnxruntime:cpu"])
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3, help="searches for each device")
    parser.add_argument("--budget", default="400M")
    parser.add_argument("--data", help="data set, instead of the default one")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = pd.concat(
            [searched(device, seed, Path(folder) / f"{i}-{seed}", arguments)
             for seed in range(arguments.seeds)
             for i, device in enumerate(arguments.devices)],
            ignore_index=True,
        )  # fmt: skip
    table = measured(found, arguments.devices)
    within = {device: deployed(table, device, arguments.devices) for device in arguments.devices}
    kernels = {device: kernel_shares(table, device) for device in arguments.devices}
    for device, rows in within.items():
        print(f"on {device}: within a latency, test accuracy of each search's best network")
        for row in rows:
            print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    for device, shares in kernels.items():
        print(f"kernels of the fronts for {device}: {shares}")
    if arguments.record:
        save(figure(table, arguments.devices), RESULTS / "two_devices")
    record(
        "two_devices",
        {
            "trials": arguments.trials,
            "seeds": arguments.seeds,
            "budget": arguments.budget,
            "networks": table.to_dict(orient="records"),
            "within_latency": within,
            "kernel_shares": kernels,
        },
        "torch", "onnxruntime", "ai-edge-litert",
        write=arguments.record,
    )  # fmt: skip


def searched(device: str, seed: int, out: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """Run a search; return the networks of its front, with their accuracy on the test images."""
    budget, data = arguments.budget, arguments.data
    search_devices(out, [device], arguments.trials, seed, budget, data)
    front = pd.read_csv(out / "pareto.csv").assign(searched_for=device, seed=seed)
    supernet, space = open_run_supernet(out), load_space("mixnet")
    slices = [supernet.slice_of(space.decode(genotype_of_row(row.to_dict(), space)))
              for _, row in front.iterrows()]  # fmt: skip
    return front.assign(test=[round(found.evaluate("test").accuracy, 4) for found in slices])


def measured(front: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    """Measure networks on several devices.

    Returns:
        Their searches, scores, test accuracies and architectures, and their latency in
        milliseconds by device.
    """
    space = load_space("mixnet")
    specs = [space.decode(genotype_of_row(row.to_dict(), space)) for _, row in front.iterrows()]
    columns = {}
    for name in devices:
        device = LocalDevice(name, MeasurementSettings())
        device.prepare()
        columns[name] = [round(measure_quietly(device, spec).steady_ms, 4) for spec in specs]
    shown = ["searched_for", "seed", "number", "score", "test", "architecture"]
    return front[shown].assign(**columns)


def deployed(table: pd.DataFrame, device: str, devices: Sequence[str]) -> list[dict[str, Any]]:
    """Return the test accuracy of what each search would deploy within several latencies.

    Returns:
        For each latency in milliseconds, the accuracies of the seeds by the device searched for.
    """
    shortest = smallest_latency(table, device)
    return [
        {
            "within_ms": round(shortest * margin, 3),
            **{name: accuracies_within(table, device, name, shortest * margin) for name in devices},
        }
        for margin in MARGINS
    ]


def smallest_latency(table: pd.DataFrame, device: str) -> float:
    """Return the smallest latency on a device within which every search found a network."""
    return float(table.groupby(["searched_for", "seed"])[device].min().max())


def accuracies_within(table: pd.DataFrame, device: str, name: str, limit: float) -> list[float]:
    """Return the test accuracy, for each seed, of the best network within a latency on a device.

    Args:
        table: All networks.
        device: Device that the networks are deployed on.
        name: Device that was searched for.
        limit: Latency in milliseconds; each search has a network within it.
    """
    within = table[(table["searched_for"] == name) & (table[device] <= limit)]
    best = within.loc[within.groupby("seed")["score"].idxmax()]
    return [float(test) for test in best["test"]]


def kernel_shares(table: pd.DataFrame, device: str) -> dict[str, float]:
    """Return the share of each kernel size among the kernel groups of a front."""
    counts: Counter[int] = Counter()
    for text in table.loc[table["searched_for"] == device, "architecture"]:
        for block in parse_architecture(text):
            counts.update(block.kernels)
    total = sum(counts.values())
    return {f"{size}x{size}": round(counts[size] / total, 3) for size in sorted(counts)}


def figure(table: pd.DataFrame, devices: Sequence[str]) -> Any:
    """Draw, for each device, what the searches would deploy within a latency, and the networks.

    The panels end with the largest latency of the table.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.6, 4.2), layout="constrained")
    panels = drawn.subplots(1, len(devices), sharey=True)
    for axes, device in zip(panels, devices, strict=True):
        style(axes)
        shortest = smallest_latency(table, device)
        longest = MARGINS[-1] * shortest
        limits = [limit for limit in sorted(table[device]) if shortest <= limit <= longest]
        limits.append(longest)
        for colour, name in zip(PALETTE, devices, strict=False):
            rows = table[(table["searched_for"] == name) & (table[device] <= longest)]
            axes.plot(rows[device], 100 * rows["test"], "o", color=colour, alpha=0.3, markersize=4)
            tests = [accuracies_within(table, device, name, limit) for limit in limits]
            axes.step(limits, [100 * statistics.mean(each) for each in tests], where="post",
                      color=colour, linewidth=1.8, label=f"searched for {name}")  # fmt: skip
        axes.set_xlabel(f"latency on {device} (ms)")
    panels[0].set_ylabel("test accuracy with shared weights (%)")
    legend(panels[0], "lower right")
    return drawn


if __name__ == "__main__":
    main()
