"""Two versions of mixnas on the CPU: are scores and weights the same for a seed, and as fast?

    python -m experiments.benchmarks.versions --base FOLDER [--rounds 3] [--record]

FOLDER holds a checkout of the other version. Both run the same probes with the same interpreter, in
turns: trainings with every ingredient of a recipe, zero-cost scores, a supernet and its scores, and
a full training. The digests of weights and the scores must be equal. Seconds are compared by their
medians, on the clock and of the processor, which other work on the machine disturbs less. Needs no
data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import record

HERE = Path(__file__).resolve().parents[2]
INGREDIENTS: dict[str, dict[str, Any]] = {
    "average": {"ema": 0.99, "clip": 5.0},
    "rmsprop": {"optimiser": "rmsprop", "dropout": 0.2, "drop_path": 0.2},
    "sharpness": {"sam": 0.05, "label_smoothing": 0.1},
    "augmentation": {"flip": True, "crop": 0.5, "randaugment": 5.0, "erasing": 0.3},
    "mixing": {"mixup": 0.2, "cutmix": 1.0},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="checkout of the other version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        print(json.dumps(probe()))
        return 0
    if arguments.base is None:
        parser.error("give --base, a checkout of the version to compare with")
    trees = {"base": arguments.base.resolve(), "this": HERE}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for _ in range(arguments.rounds):
        for name, tree in trees.items():
            found[name].append(run(tree))
    rows = [row(name, found) for name in found["this"][0]]
    for found_row in rows:
        equal = "equal" if found_row["equal"] else "DIFFERENT"
        seconds = f"{found_row['base_s']:8.2f} {found_row['this_s']:8.2f} s"
        ratios = f"{found_row['ratio']:.2f}  of the processor {found_row['cpu_ratio']:.2f}"
        print(f"{found_row['probe']:<22} {equal:<10} {seconds}  {ratios}")
    record(
        "versions", {"rounds": arguments.rounds, "probes": rows}, "torch", write=arguments.record
    )
    return int(not all(r["equal"] for r in rows))


def run(tree: Path) -> dict[str, Any]:
    """Run the probes of this file with the package of a checkout, and a cache of its own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree),
            "MIXNAS_CACHE": cache,
            "OMP_NUM_THREADS": "1",
        }
        words = [sys.executable, str(Path(__file__)), "--probe"]
        done = subprocess.run(
            words, cwd=cache, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"the probes of {tree} failed:\n{done.stderr[-2_000:]}")
    probes: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return probes


def row(name: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Compare one probe: its values must be the same in all turns of both versions."""
    values = {json.dumps(turn[name]["value"]) for turns in found.values() for turn in turns}
    seconds, cpu = (
        {
            version: statistics.median(turn[name][clock] for turn in turns)
            for version, turns in found.items()
        }
        for clock in ("seconds", "cpu_seconds")
    )
    return {
        "probe": name,
        "equal": len(values) == 1,
        "value": json.loads(min(values)),
        "base_s": round(seconds["base"], 3),
        "this_s": round(seconds["this"], 3),
        "ratio": round(seconds["this"] / seconds["base"], 3),
        "cpu_ratio": round(cpu["this"] / cpu["base"], 3),
    }


def probe() -> dict[str, Any]:
    """Return value and seconds of every probe, by name."""
    import torch

    torch.set_num_threads(1)
    probes: dict[str, Callable[[], Any]] = {
        **{name: lambda c=changes: short(c) for name, changes in INGREDIENTS.items()},
        **{f"zero-cost {score}": lambda s=score: zero_cost(s) for score in zero_cost_scores()},
        "supernet training": supernet_weights,
        "supernet scores": supernet_scores,
        "short training": short_scores,
        "full training": full_training,
    }
    results = {}
    for name, measure in probes.items():
        started, busy = time.perf_counter(), processor_seconds()
        value = measure()
        results[name] = {
            "value": value,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": processor_seconds() - busy,
        }
    return results


def processor_seconds() -> float:
    """Return the processor's time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def digest(tensors: Any) -> str:
    """Return a digest of tensors by name."""
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        hashed.update(name.encode())
        hashed.update(tensors[name].detach().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]


def short(changes: dict[str, Any]) -> str:
    """Return the digest of the weights after a training with some ingredients."""
    from nas.accuracy.short import ShortTraining
    from nas.spec import load_network
    from nas.train.recipe import Recipe

    recipe = Recipe(batch_size=32, learning_rate=0.01, **changes)
    estimator = ShortTraining("digits", images=960, resolution=32, width=0.5, recipe=recipe)
    trainer = estimator.trainer(load_network("mixnet_s").replace(num_classes=10), 0)
    for _ in trainer.steps():
        pass
    return digest(trainer.evaluated_model.state_dict())


def short_scores() -> list[float]:
    """Return score and accuracy of a short training with the default recipe."""
    from nas.accuracy.short import ShortTraining
    from nas.spec import load_network

    found = ShortTraining("digits", images=4_800).estimate(
        load_network("mixnet_m").replace(num_classes=10), 0
    )
    return [found.score, float(found.accuracy or 0)]


def zero_cost_scores() -> tuple[str, ...]:
    return ("naswot", "zico", "synflow", "grad-norm")


def zero_cost(score: str) -> list[float]:
    """Return a zero-cost score of two networks."""
    from nas.accuracy.zero_cost import ZeroCost
    from nas.spec import load_network

    networks = [load_network(name).replace(num_classes=10) for name in ("mixnet_s", "mixnet_m")]
    return [ZeroCost("digits", score).estimate(network, 0).score for network in networks]


def supernet() -> Any:
    """Return a supernet of the MixNet space, as `nas.search` makes it, but trained for less."""
    from nas.accuracy.pool import SpacePool
    from nas.accuracy.supernet import Supernet
    from nas.space import load_space

    pool = SpacePool(load_space("mixnet").with_classes(10))
    return Supernet("digits", pool, images=3_200, resolution=32)


def supernet_weights() -> str:
    """Return the digest of a trained supernet's weights."""
    trained = supernet()
    trained.prepare()
    return hashlib.sha256(trained.path.read_bytes()).hexdigest()[:16]


def supernet_scores() -> list[float]:
    """Return what the supernet that was trained before says of two networks."""
    from nas.spec import load_network

    trained = supernet()
    trained.prepare()
    networks = [load_network(name).replace(num_classes=10) for name in ("mixnet_s", "mixnet_m")]
    return [value for n in networks for value in values(trained.estimate(n, 0))]


def values(estimate: Any) -> list[float]:
    return [estimate.score, estimate.loss]


def full_training() -> str:
    """Return the digest of the weights that ``nas.train`` leaves."""
    from safetensors.torch import load_file

    words = ["-m", "nas.train", "mobilenet_v2", "--resolution", "32", "--device", "none"]
    words += ["--set", "epochs=1", "--set", "ema=0.99", "--threads", "1", "--out", "full"]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return digest(load_file("full/weights.safetensors"))


if __name__ == "__main__":
    sys.exit(main())
