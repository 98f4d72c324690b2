"""Gain of lowering: latency of networks as deployed, compared with that as trained.

    python -m experiments.benchmarks.lowering [--device onnxruntime:cpu] [--threads N] [--batch 1]
                                              [--members 100] [--unusual 50] [--record]
    python -m experiments.benchmarks.lowering --references [NETWORK ...] [--largest 2G] [--record]

Networks that are compared are timed in alternation, so that their ratios are reliable on a noisy
machine. As trained, batch normalization is folded into the convolutions, which all runtimes do or
expect; as deployed, a network has the fastest of its forms. First, MixNet-S, -M and -L,
EfficientNet-B0 and MobileNetV2; then random members of `mixnet`, and members of which blocks have
wider groups, dilated kernels or unequal slices. A network that seems slower as deployed is timed
again, for longer, which the record tells. Finally, where MixNet-M's time goes, in turns again: the
arithmetic limit, which is its multiply-adds at the rate that one large 1x1 convolution reaches;
what it takes without large kernels, without squeeze-and-excitation, and without swish; and the time
by operator where the runtime has a profiler, as ONNX Runtime and OpenVINO have.

With ``--references``, the networks named, or every reference network that comes with the package,
are timed as deployed and as trained instead; those beyond ``--largest`` multiply-adds are left out.
The record is called ``lowering_references_DEVICE``; if networks are named, it keeps the others'.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from experiments.benchmarks.common import record, recorded
from nas.cost import count, count_leaf
from nas.errors import MixnasError, UnrunnableError
from nas.ir import Conv, Seq
from nas.latency.conditions import MeasurementSettings
from nas.latency.deployment import TRAINED, fastest_form, network_forms
from nas.latency.device import LocalDevice
from nas.latency.protocol import medians_in_turns, warm_up
from nas.latency.runtimes.base import Program, TimedRun
from nas.latency.weights import realistic_weights
from nas.machine import machine_for, pinned
from nas.space import load_space
from nas.spec import NetworkSpec, load_network, reference_names
from nas.units import format_count, parse_count

# What MixNet-M would be without its costly parts, by what is changed in every block.
WITHOUT: dict[str, dict[str, Any]] = {
    "large kernels": {"kernels": (3,)},
    "squeeze-and-excitation": {"se_ratio": 0},
    "swish": {"activation": "relu"},
}
ROUNDS = 30
RUNS = 8
SETTLE = 2
MEMBER_ROUNDS = 4
MEMBER_RUNS = 3
SLOW_MS = 300.0  # a network that takes longer is run once a turn
SLOWER = 1.03  # ratio above which a network counts as slower than as trained
REFERENCES = ("mixnet_s", "mixnet_m", "mixnet_l", "efficientnet_b0", "mobilenet_v2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="onnxruntime:cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--unusual", type=int, default=50)
    parser.add_argument(
        "--references", nargs="*", metavar="NETWORK", help="time only these; all by default"
    )
    parser.add_argument("--largest", type=parse_count, default="2G", metavar="MADDS")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    device = LocalDevice(
        arguments.device, MeasurementSettings(threads=arguments.threads, batch=arguments.batch)
    )
    device.prepare()
    if arguments.references is None:
        kind, result = "lowering", mixnets(device, arguments.members, arguments.unusual)
    else:
        names = arguments.references or reference_names()
        kind, result = "lowering_references", every_reference(device, names, arguments.largest)
    name = arguments.device.replace(":", "_")
    threads = f"_threads{arguments.threads}" if arguments.threads else ""
    file = f"{kind}_{name}{threads}_batch{arguments.batch}"
    if arguments.references:
        earlier = recorded(file)
        if earlier and earlier["conditions"] != vars(device.conditions):
            parser.error(f"{file}.json was measured under other conditions; time all networks anew")
        result = beside_earlier(result, earlier)
    packages = ("onnxruntime", *PACKAGES.get(arguments.device.partition(":")[0], ()))
    record(
        file,
        {
            "conditions": vars(device.conditions),
            "depthwise_ms": device.profile.depthwise_ms,
            **result,
        },
        *packages,
        write=arguments.record,
    )


def mixnets(device: LocalDevice, members: int, unusual: int) -> dict[str, Any]:
    """Return the result for MixNets, random members, and where MixNet-M's time goes."""
    with machine_for("measuring"), pinned(device.runtime.threads, device.runtime.pins_threads):
        references = compare_references(device)
        found = {
            "members": summary(compare_members(device, members, unusual=False)),
            "unusual": summary(compare_members(device, unusual, unusual=True)),
        }
        parts = costly_parts(device, references["mixnet_m"]["deployed_ms"])
    # Outside the pinned block, since all their threads would inherit the calling thread's core.
    breakdown = device.operator_ms(load_network("mixnet_m"))
    return {
        "references": references,
        **ratios(references),
        "mixnet_m_parts": parts,
        **found,
        "mixnet_m_by_operator_us": {name: round(1000 * ms) for name, ms in breakdown.items()},
    }


def every_reference(device: LocalDevice, names: Sequence[str], largest: int) -> dict[str, Any]:
    """Return the result for reference networks: each as deployed against as trained.

    Args:
        device: Where they are timed.
        names: Names of the networks.
        largest: Most multiply-adds of a network that is timed.
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with machine_for("measuring"), pinned(device.runtime.threads, device.runtime.pins_threads):
        for number, name in enumerate(names, start=1):
            spec = load_network(name)
            madds = count(spec).madds
            try:
                if madds > largest:
                    raise UnrunnableError(f"more than {format_count(largest)} multiply-adds")
                row = {"network": name, "madds": madds, **compare(device, spec, timed=True)}
            except UnrunnableError as error:
                left_out[name] = str(error)
                told = f"left out: {error}"
            else:
                rows.append(row)
                told = "{trained_ms:9.2f} {deployed_ms:9.2f} ms  {ratio:.3f}  {form}".format(**row)
            print(f"{number:3} of {len(names)} {name:24} {told}", flush=True)
    result = {**_of_references(rows), "largest_madds": largest, "left_out": left_out}
    print(
        f"{len(rows)} networks timed, {len(left_out)} left out; more than {SLOWER - 1:.0%} slower "
        f"as deployed: {', '.join(result['summary']['slower']) or 'none'}"
    )
    return result


def _of_references(rows: list[dict[str, Any]]) -> dict[str, Any]:
    slower = [row["network"] for row in rows if row["ratio"] > SLOWER]
    return {"summary": {**summary(rows), "slower": slower}, "networks": rows}


def beside_earlier(result: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """Return the result for a few reference networks together with the others of a record.

    Args:
        result: Result of `every_reference`.
        earlier: The record; empty if there is none.
    """
    if not earlier:
        return result
    anew = {row["network"] for row in result["networks"]} | set(result["left_out"])
    kept = [row for row in earlier["networks"] if row["network"] not in anew]
    rows = sorted([*kept, *result["networks"]], key=lambda row: str(row["network"]))
    left_out = {name: why for name, why in earlier["left_out"].items() if name not in anew}
    origin = {name: earlier[name] for name in ("command", "when", "machine", "cores")}
    return {
        **_of_references(rows),
        "largest_madds": max(result["largest_madds"], earlier["largest_madds"]),
        "left_out": {**left_out, **result["left_out"]},
        "earlier": [*earlier.get("earlier", ()), origin],
    }


PACKAGES = {
    "litert": ("ai-edge-litert",),
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "torch": ("torch",),
}


def in_turns(runs: dict[str, TimedRun], rounds: int, count: int) -> dict[str, np.ndarray]:
    """Return the medians of every round, by name."""
    for run in runs.values():
        warm_up(run, 0.5)
    medians = medians_in_turns(runs, rounds, count, SETTLE)
    return {name: np.array(values) for name, values in medians.items()}


def milliseconds(times: np.ndarray, base: np.ndarray) -> float:
    """Return a latency, given the times of every round and those of another network in turn.

    The machine's speed varies between rounds, so ratios are formed within each round.
    """
    return round(float(np.median(base)) * float(np.median(times / base)), 3)


def deployed(device: LocalDevice, spec: NetworkSpec) -> tuple[dict[str, TimedRun], str]:
    """Return a network as trained and as deployed, ready to run, and the name of its form."""
    forms = network_forms(spec, device.profile)
    (best, _), run = fastest_form(forms, device.runtime.load)
    trained = run if best is forms[0] else device.runtime.load(forms[0].program)
    return {"trained": trained, "deployed": run}, best.name


def compare_references(device: LocalDevice) -> dict[str, dict[str, Any]]:
    """Return the latencies of the reference networks in milliseconds, all timed in turns."""
    runs: dict[str, TimedRun] = {}
    forms = {}
    for name in REFERENCES:
        both, forms[name] = deployed(device, load_network(name))
        runs |= {f"{name} {form}": run for form, run in both.items()}
    medians = in_turns(runs, ROUNDS, RUNS)
    base = medians["efficientnet_b0 trained"]
    found: dict[str, dict[str, Any]] = {}
    for name in REFERENCES:
        times = {
            f"{form}_ms": milliseconds(medians[f"{name} {form}"], base)
            for form in ("trained", "deployed")
        }
        found[name] = {**times, "form": forms[name]}
        print(f"{name:16} {times['trained_ms']:8.2f} {times['deployed_ms']:8.2f} ms  {forms[name]}")
    return found


def ratios(references: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the latencies of MixNets as deployed, in units of those that they are compared to."""
    b0 = references["efficientnet_b0"]
    b0_ms = min(b0["trained_ms"], b0["deployed_ms"])
    found = {}
    for name in ("mixnet_s", "mixnet_m", "mixnet_l"):
        ours = references[name]["deployed_ms"]
        found[f"{name}_over_trained"] = round(ours / references[name]["trained_ms"], 3)
        found[f"{name}_over_efficientnet_b0"] = round(ours / b0_ms, 3)
    return found


def compare_members(device: LocalDevice, number: int, unusual: bool) -> list[dict[str, Any]]:
    """Return the ratio of latency as deployed to that as trained, of random networks."""
    space, rng = load_space("mixnet"), random.Random(1 if unusual else 0)
    rows = []
    for i in range(number):
        spec = space.decode(space.draw(rng))
        if unusual:
            spec = with_unusual_blocks(spec, rng)
        rows.append(compare(device, spec))
        if i % 10 == 9:
            print(f"{i + 1} of {number} {'unusual networks' if unusual else 'members'}", flush=True)
    return rows


def compare(device: LocalDevice, spec: NetworkSpec, timed: bool = False) -> dict[str, Any]:
    """Return a network's ratio of latency as deployed to that as trained, and its form.

    A network that seems slower as deployed is timed again, for longer; a slow one is run less often
    than others.

    Args:
        device: Where it is timed.
        spec: The network.
        timed: Whether to return the latencies in milliseconds too.
    """
    runs, form = deployed(device, spec)
    if form == TRAINED and not timed:
        return {"ratio": 1.0, "form": form}
    slow = warm_up(runs["trained"], 0) > SLOW_MS
    repeats = 1 if slow else MEMBER_RUNS
    medians = in_turns(runs, MEMBER_ROUNDS, repeats)
    again = form != TRAINED and _ratio(medians) > SLOWER
    if again:
        medians = in_turns(runs, 4 * MEMBER_ROUNDS, repeats)
    row = {"ratio": 1.0 if form == TRAINED else _ratio(medians), "form": form}
    if again:
        row["timed_again"] = True
    if timed:
        trained = medians["trained"]
        row["trained_ms"] = milliseconds(trained, trained)
        row["deployed_ms"] = round(row["trained_ms"] * row["ratio"], 3)
    return row


def _ratio(medians: dict[str, np.ndarray]) -> float:
    return round(float(np.median(medians["deployed"] / medians["trained"])), 4)


def with_unusual_blocks(spec: NetworkSpec, rng: random.Random) -> NetworkSpec:
    """Return a network with some blocks of wider groups, dilated kernels or unequal slices."""
    changes = ({"group_width": 8}, {"group_width": 16}, {"dilated": True}, {"split": "exponential"})
    stages = [list(stage) for stage in spec.stages]
    for stage in stages:
        for i, block in enumerate(stage):
            with suppress(MixnasError, TypeError):  # a block that cannot be so stays as it is
                changed = dataclasses.replace(block, **rng.choice(changes))
                walked = spec.replace(
                    stages=[[*s[:i], changed, *s[i + 1 :]] if s is stage else s for s in stages]
                )
                walked.tree()
                stage[i] = changed
    return spec.replace(stages=stages)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return figures of the ratios of several networks."""
    found = np.array([row["ratio"] for row in rows] or [np.nan])
    return {
        "networks": len(rows),
        "mean_ratio": round(float(found.mean()), 4),
        "lowest_ratio": round(float(found.min()), 4),
        "highest_ratio": round(float(found.max()), 4),
        "slower": int((found > SLOWER).sum()),
        "timed_again": sum(row.get("timed_again", False) for row in rows),
        "forms": dict(Counter(row["form"] for row in rows)),
    }


def costly_parts(device: LocalDevice, whole_ms: float) -> dict[str, dict[str, float]]:
    """Return what MixNet-M takes without each of its costly parts, without all, and at the least.

    All are timed in turns, and told in units of the whole network.

    Args:
        device: Where they are timed.
        whole_ms: Latency of the whole network, in milliseconds.
    """
    spec = load_network("mixnet_m")
    everything = {name: value for change in WITHOUT.values() for name, value in change.items()}
    changes = {"": {}, **WITHOUT, "all of these": everything}
    networks = {name: with_all_blocks(spec, change) for name, change in changes.items()}
    runs = {name: deployed(device, network)[0]["deployed"] for name, network in networks.items()}
    layer, layers_in_network = large_layer(device, count(spec).madds)
    medians = in_turns({**runs, "limit": layer}, ROUNDS, RUNS)
    shares = {name: float(np.median(times / medians[""])) for name, times in medians.items()}
    limit_ms = whole_ms * shares.pop("limit") * layers_in_network
    found = {"arithmetic limit": {"ms": round(limit_ms, 3), "madds": count(spec).madds}}
    for name, network in networks.items():
        key = f"without {name}" if name else "whole"
        found[key] = {"ms": round(whole_ms * shares[name], 3), "madds": count(network).madds}
    for key, row in found.items():
        print(f"MixNet-M {key:32} {row['ms']:8.2f} ms {row['madds'] / 1e6:8.0f}M MAdds")
    return found


def with_all_blocks(spec: NetworkSpec, change: dict[str, Any]) -> NetworkSpec:
    """Return a network with some fields of all blocks changed."""
    stages = [[dataclasses.replace(block, **change) for block in stage] for stage in spec.stages]
    return spec.replace(stages=stages)


def large_layer(device: LocalDevice, madds: int) -> tuple[TimedRun, float]:
    """Return one large 1x1 convolution, ready to run, and how many make so many multiply-adds."""
    layer = Conv(512, 512, bias=True)
    tree = Seq((("conv", layer),))
    shape = (512, 56, 56)
    run = device.runtime.load(Program(tree, shape, realistic_weights(tree)))
    return run, madds / count_leaf(layer, shape).madds


if __name__ == "__main__":
    main()
