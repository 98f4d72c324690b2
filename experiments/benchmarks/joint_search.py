"""One search for two devices against a search for each, with as many trials in all.

    python -m experiments.benchmarks.joint_search [--devices litert:cpu onnxruntime:cpu]
        [--later openvino:cpu] [--trials 48] [--seeds 3] [--data DATA] [--record]

The searches are of `mixnet`, with one supernet. A network that was evaluated serves both devices in
the joint search, so that each of its fronts rests on all trials, and each of the separate ones on
half as many. The result is the hypervolume of each device's front, as a share of that of the joint
and the separate search together. It is that of scores as estimated, all with the same weights and
images, and of latencies as measured; a part of the gain is therefore luck, which more scores have
more of. Afterwards a third device joins the joint search, as one that
is bought later: it is examined, networks are measured on it, and nothing is trained.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.schema import RAW_SCORE, on_device
from experiments.benchmarks.common import record, run, search_devices
from experiments.benchmarks.landscapes import hypervolume
from nas.latency import open_device
from nas.latency.profile import load_profile

KINDS = ("joint", "separate")
Networks = list[tuple[float, float]]
"""Latencies in milliseconds, and estimated scores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs=2, default=["litert:cpu", "onnxruntime:cpu"])
    parser.add_argument("--later", default="openvino:cpu", help="device that joins in the end")
    parser.add_argument("--trials", type=int, default=48, help="of both devices together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="400M")
    parser.add_argument("--data", help="data set, instead of the default one")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compared(arguments, Path(folder), seed))
        for device in arguments.devices:
            print(f"seed {seed}, {device}: {rows[-1][device]}", flush=True)
    means = {
        device: {kind: statistics.mean(row[device][kind] for row in rows) for kind in KINDS}
        for device in arguments.devices
    }
    print(f"mean: {means}")
    record(
        "joint_search",
        {"trials": arguments.trials, "budget": arguments.budget, "means": means, "rows": rows},
        "torch", "onnxruntime", "ai-edge-litert", "openvino",
        write=arguments.record,
    )  # fmt: skip


def compared(arguments: argparse.Namespace, folder: Path, seed: int) -> dict[str, Any]:
    """Return the shares of the hypervolume by device, and what a third device took."""
    devices = arguments.devices
    budget, data = arguments.budget, arguments.data
    search_devices(folder / "joint", devices, arguments.trials, seed, budget, data)
    fronts: dict[str, dict[str, Networks]] = {}
    for number, device in enumerate(devices):
        alone = folder / str(number)
        search_devices(alone, [device], arguments.trials // 2, seed, budget, data)
        fronts[device] = {
            "joint": networks_of(folder / "joint", device, devices[0]),
            "separate": networks_of(alone, device, device),
        }
    row: dict[str, Any] = {"seed": seed}
    row |= {device: shares(fronts[device]) for device in devices}
    examined = load_profile(open_device(arguments.later).conditions) is None
    started = time.perf_counter()
    run("nas.search", "--resume", folder / "joint", "--device", arguments.later)
    row["later"] = {
        "device": arguments.later,
        "examined_first": examined,  # or known from an earlier search on this machine
        "seconds": round(time.perf_counter() - started, 1),
        "networks": len(networks_of(folder / "joint", arguments.later, devices[0])),
    }
    return row


def networks_of(folder: Path, device: str, first: str) -> Networks:
    """Return the networks of a run that have a latency on a device.

    Args:
        folder: The run directory.
        device: The device.
        first: First device of the run.
    """
    column = "latency_ms" if device == first else on_device("latency_ms", device)
    table = pd.read_csv(folder / "trials.csv").dropna(subset=[column, RAW_SCORE])
    return list(zip(table[column].astype(float), table[RAW_SCORE].astype(float), strict=True))


def shares(found: dict[str, Networks]) -> dict[str, float]:
    """Return the hypervolume of each search's front, as a share of that of all of them together."""
    together = [point for networks in found.values() for point in networks]
    reference = (min(score for _, score in together), 1.1 * max(ms for ms, _ in together))
    whole = hypervolume(together, reference)
    return {kind: round(hypervolume(each, reference) / whole, 4) for kind, each in found.items()}


if __name__ == "__main__":
    main()
