r"""What is lost by deploying the network that another runtime's search found.

    python -m experiments.benchmarks.two_devices [--devices litert:cpu onnxruntime:cpu]
        [--trials 48] [--budget 400M] [--data DATA] [--record]

Two searches of `mixnet` with the same data, seed and supernet, for one device each. All networks of
both fronts are then measured on both devices. The figure shows, for each device, the front that its
own search found beside the other's, by the latency on this device. For a few latencies, the table
shows the best score that each search found within them: the difference is the price of deploying
the other one's winner. It also shows the share of each kernel size in the networks of the fronts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.style import PALETTE, legend, save, style
from analysis.read.architectures import parse_architecture
from experiments.benchmarks.common import RESULTS, record, run
from nas.latency import LocalDevice, MeasurementSettings, measure_quietly
from nas.space import load_space
from nas.space.rows import genotype_of_row

MARGINS = (1.0, 1.5, 2.0, 3.0)  # latency limits, in units of the fastest network's latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs=2, default=["litert:cpu", "onnxruntime:cpu"])
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--budget", default="400M")
    parser.add_argument("--data", help="data set, instead of the default one")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = pd.concat(
            [searched(device, Path(folder) / str(i), arguments)
             for i, device in enumerate(arguments.devices)],
            ignore_index=True,
        )  # fmt: skip
    table = measured(found, arguments.devices)
    losses = {device: lost(table, device, arguments.devices) for device in arguments.devices}
    kernels = {device: kernel_shares(table, device) for device in arguments.devices}
    for device, rows in losses.items():
        print(f"on {device}: within a latency, best score of each search")
        for row in rows:
            print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    for device, shares in kernels.items():
        print(f"kernels of the front for {device}: {shares}")
    if arguments.record:
        save(figure(table, arguments.devices), RESULTS / "two_devices")
    record(
        "two_devices",
        {
            "trials": arguments.trials,
            "budget": arguments.budget,
            "networks": table.to_dict(orient="records"),
            "within_latency": losses,
            "kernel_shares": kernels,
        },
        "torch", "onnxruntime", "ai-edge-litert",
        write=arguments.record,
    )  # fmt: skip


def searched(device: str, out: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """Run a search, and return the networks of its front."""
    run(
        *("nas.search", "--space", "mixnet", "--budget", arguments.budget),
        *("--device", device, "--trials", arguments.trials, "--seed", 0),
        *("--reference", "none", "--confirm", 0, "--latency", "measured", "--out", out),
        *(("--data", arguments.data) if arguments.data else ()),
    )
    return pd.read_csv(out / "pareto.csv").assign(searched_for=device)


def measured(front: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    """Measure networks on several devices.

    Returns:
        Their names, scores and architectures, and their latency in milliseconds by device.
    """
    space = load_space("mixnet")
    specs = [space.decode(genotype_of_row(row.to_dict(), space)) for _, row in front.iterrows()]
    columns = {}
    for name in devices:
        device = LocalDevice(name, MeasurementSettings())
        device.prepare()
        columns[name] = [round(measure_quietly(device, spec).steady_ms, 4) for spec in specs]
    return front[["searched_for", "number", "score", "architecture"]].assign(**columns)


def lost(table: pd.DataFrame, device: str, devices: Sequence[str]) -> list[dict[str, Any]]:
    """Return the best score of each search within several latencies on a device."""
    fastest = table.loc[table["searched_for"] == device, device].min()
    rows = []
    for margin in MARGINS:
        limit = fastest * margin
        within = table[table[device] <= limit]
        best = within.groupby("searched_for")["score"].max()
        row: dict[str, Any] = {"within_ms": round(float(limit), 3)}
        for name in devices:
            row[name] = round(float(best[name]), 4) if name in best else None
        rows.append(row)
    return rows


def kernel_shares(table: pd.DataFrame, device: str) -> dict[str, float]:
    """Return the share of each kernel size among the kernel groups of a front."""
    counts: Counter[int] = Counter()
    for text in table.loc[table["searched_for"] == device, "architecture"]:
        for block in parse_architecture(text):
            counts.update(block.kernels)
    total = sum(counts.values())
    return {f"{size}x{size}": round(counts[size] / total, 3) for size in sorted(counts)}


def figure(table: pd.DataFrame, devices: Sequence[str]) -> Any:
    """Draw the fronts of both searches by the latency on each device, a panel each."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.6, 4.2), layout="constrained")
    panels = drawn.subplots(1, len(devices), sharey=True)
    for axes, device in zip(panels, devices, strict=True):
        style(axes)
        for colour, name in zip(PALETTE, devices, strict=False):
            rows = table[table["searched_for"] == name].sort_values(device)
            axes.plot(
                rows[device], 100 * rows["score"], "o-", color=colour, label=f"searched for {name}"
            )
        axes.set_xlabel(f"latency on {device} (ms)")
    panels[0].set_ylabel("accuracy with shared weights (%)")
    legend(panels[0], "lower right")
    return drawn


if __name__ == "__main__":
    main()
