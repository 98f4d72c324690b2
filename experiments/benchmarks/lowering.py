"""Gain of lowering: latency of lowered networks, compared with plain ones and EfficientNet-B0.

    python -m experiments.benchmarks.lowering [--device onnxruntime:cpu] [--batch 1] [--specs 100]
                                              [--threads N] [--record]

Networks that are compared are timed in alternation, so that their ratios are reliable on a noisy
machine. First, MixNet-S, -M and -L lowered (by the device's profile, and with everything merged),
MixNet-M plain, and EfficientNet-B0 plain and lowered; then random members of `mixnet`, each lowered
and plain. Finally, the time of lowered MixNet-M by operator, from ONNX Runtime's profiler, and the
arithmetic limit: its multiply-adds at the rate that one large 1x1 convolution reaches.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from experiments.benchmarks.common import record
from nas.cost import count, count_leaf
from nas.formats.onnx import to_onnx
from nas.ir import Conv, Seq
from nas.latency.conditions import MeasurementSettings
from nas.latency.device import LocalDevice, program_of
from nas.latency.protocol import medians_in_turns, warm_up
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL
from nas.machine import machine_for, pinned
from nas.space import load_space
from nas.spec import load_network

ROUNDS = 30
RUNS = 8
SETTLE = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="onnxruntime:cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--specs", type=int, default=100)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    device = LocalDevice(
        arguments.device, MeasurementSettings(threads=arguments.threads, batch=arguments.batch)
    )
    device.prepare()
    with machine_for("measuring"), pinned(device.runtime.threads, device.runtime.pins_threads):
        references = compare_references(device)
        specs = compare_specs(device, arguments.specs)
    # Outside the pinned block, since all their threads would inherit the calling thread's core.
    breakdown = profile(device) if arguments.device == "onnxruntime:cpu" else {}
    limit = arithmetic_limit(device)
    ratios = np.array([spec["ratio"] for spec in specs])
    m = references["mixnet_m lowered"]
    summary = {
        "mixnet_m_lowered_over_plain": m / references["mixnet_m plain"],
        "mixnet_m_lowered_over_efficientnet_b0": m / references["efficientnet_b0 plain"],
        "mixnet_m_lowered_over_efficientnet_b0_lowered": m / references["efficientnet_b0 lowered"],
        "specs": len(specs),
        "specs_mean_ratio": float(ratios.mean()),
        "specs_lowest_ratio": float(ratios.min()),
        "specs_highest_ratio": float(ratios.max()),
        "largest_difference": max(spec["difference"] for spec in specs),
        "arithmetic_limit_ms": limit,
    }
    for name, value in references.items():
        print(f"{name:32} {value:8.2f} ms")
    for name, value in summary.items():
        print(f"{name:48} {value:10.4g}")
    for name, value in breakdown.items():
        print(f"  {name:24} {value:8.0f} us")
    name = f"lowering_{arguments.device.replace(':', '_')}_batch{arguments.batch}"
    rounded = {key: round(value, 5) for key, value in summary.items()}
    record(
        name,
        {
            "conditions": vars(device.conditions),
            "references_ms": {key: round(value, 3) for key, value in references.items()},
            **rounded,
            "mixnet_m_by_operator_us": breakdown,
        },
        "onnxruntime",
        "torch",
        write=arguments.record,
    )


def in_turns(runs: dict[str, TimedRun], rounds: int) -> dict[str, list[float]]:
    """Return the medians of every round, by name."""
    for run in runs.values():
        warm_up(run, 1.0)
    return medians_in_turns(runs, rounds, RUNS, SETTLE)


def compare_references(device: LocalDevice) -> dict[str, float]:
    choices = {"lowered": device.form_choice(), "merged": MERGE_ALL, "plain": None}
    runs = {
        f"{name} {form}": device.runtime.load(program_of(load_network(name), choice))
        for name in ("mixnet_s", "mixnet_m", "mixnet_l", "efficientnet_b0", "mobilenet_v2")
        for form, choice in choices.items()
    }
    medians = in_turns(runs, ROUNDS)
    # The machine's speed varies between rounds, so ratios are formed within each round.
    base = np.array(medians["efficientnet_b0 plain"])
    usual = float(np.median(base))
    return {name: usual * float(np.median(values / base)) for name, values in medians.items()}


def compare_specs(device: LocalDevice, number: int) -> list[dict[str, float]]:
    space, rng = load_space("mixnet"), random.Random(0)
    rows = []
    for _ in range(number):
        spec = space.decode(space.draw(rng))
        programs = {
            "lowered": program_of(spec, device.form_choice()),
            "plain": program_of(spec, None),
        }
        runs = {name: device.runtime.load(one) for name, one in programs.items()}
        medians = {name: np.array(values) for name, values in in_turns(runs, 5).items()}
        rows.append(
            {
                "ratio": float(np.median(medians["lowered"] / medians["plain"])),
                "difference": difference(programs),
            }
        )
    return rows


def difference(programs: dict[str, Program]) -> float:
    """Return the largest difference of the lowered outputs, in units of the largest output."""
    outputs = {}
    for name, one in programs.items():
        graph = to_onnx(one.tree, one.shape, one.weights).SerializeToString()
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        outputs[name] = session.run(None, {"images": noise(1, one.shape)})[0]
    plain = outputs["plain"]
    return float(np.abs(outputs["lowered"] - plain).max() / np.abs(plain).max())


def profile(device: LocalDevice) -> dict[str, float]:
    """Return microseconds of lowered MixNet-M by operator, by ONNX Runtime's profiler."""
    one = program_of(load_network("mixnet_m"), device.form_choice())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = device.runtime.threads
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        graph = to_onnx(one.tree, one.shape, one.weights).SerializeToString()
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for _ in range(100):
            session.run(None, {"images": noise(device.settings.batch, one.shape)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            times.setdefault((_operator(event["args"]), event["name"]), []).append(event["dur"])
    total: dict[str, float] = defaultdict(float)
    for (operator, _), values in times.items():
        total[operator] += float(np.median(values[20:]))
    ordered = sorted(total.items(), key=lambda item: -item[1])
    return {name: round(value) for name, value in ordered}


def _operator(arguments: dict[str, Any]) -> str:
    name = str(arguments["op_name"])
    shapes = [next(iter(shape.values())) for shape in arguments.get("input_type_shape", [])]
    if name != "Conv" or len(shapes) < 2:
        return name
    (_, inner, kernel, _), image = shapes[1], shapes[0]
    if image[-1] == 1:
        return "Conv of SE"
    if inner == 1:
        return f"Conv depthwise {kernel}x{kernel}" if kernel > 1 else "padding"
    return f"Conv {kernel}x{kernel}"


def arithmetic_limit(device: LocalDevice) -> float:
    """Return MixNet-M's multiply-adds at the rate of one large 1x1 convolution, in milliseconds."""
    layer = Conv(512, 512, bias=True)
    tree = Seq((("conv", layer),))
    shape = (512, 56, 56)
    run = device.runtime.load(Program(tree, shape, realistic_weights(tree)))
    warm_up(run, 1.0)
    rate = count_leaf(layer, shape).madds / min(run() for _ in range(30))
    return count(load_network("mixnet_m")).madds / rate


if __name__ == "__main__":
    main()
