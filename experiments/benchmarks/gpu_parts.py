"""The parts of `experiments.benchmarks.on_gpu`, each of which yields rows of figures."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

REGNET = "regnety_004"  # timm's alone: 400 million multiply-adds without depthwise convolutions
TINY_NETWORKS = ("mobilenet_v2",)
NETWORKS = ("mixnet_s", "mixnet_m", "efficientnet_b0", "mobilenet_v2")
RIVALS = {
    "mixnet_s": "mixnet_s",
    "mixnet_m": "mixnet_m",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenet_v2": "mobilenetv2_100",
}


# -- tests --------------------------------------------------------------------------------------


def tests(tiny: bool) -> Iterator[dict[str, Any]]:
    """Run the tests that need a GPU; without one they are skipped."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "tests/test_gpu.py",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()
    counts = dict(re.findall(r"(\d+) (passed|failed|skipped|error)", said[-1] if said else ""))
    found: dict[str, Any] = {outcome: int(number) for number, outcome in counts.items()}
    failures = [line for line in said if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1) and not found:
        failures.append((done.stderr.strip().splitlines() or ["pytest said nothing"])[-1])
    yield {**found, "failures": "; ".join(failures)[:1_000]}


# -- training -----------------------------------------------------------------------------------


def training(tiny: bool) -> Iterator[dict[str, Any]]:
    """Measure images per second in training, ours and timm's in the same loop, in turns."""
    import torch

    device = "cpu" if tiny else "cuda"
    cases = [(TINY_NETWORKS[0], 32, 16, "fp32")]
    if not tiny:
        cases = [
            (name, resolution, batch, precision)
            for resolution, batch in ((32, 512), (224, 128))
            for name in (*NETWORKS[:3], REGNET)
            for precision in ("fp32", "bf16")
        ]
    for case in cases:
        name, resolution, batch, precision = case
        rates = images_per_second(loops_of(case, device), batch, 0.5 if tiny else 1.0, device)
        yield {
            "network": name,
            "pixels": resolution,
            "batch": batch,
            "precision": precision,
            **{f"{kind} img/s": round(rate) for kind, rate in rates.items()},
        }
        if not tiny:
            torch.cuda.empty_cache()


def loops_of(case: tuple[str, int, int, str], device: str) -> dict[str, Callable[[], None]]:
    """Return the loops of a case by name: ours, ours compiled, and timm's network in our loop."""
    name, resolution, batch, precision = case
    loops: dict[str, Callable[[], None]] = {}
    if name in RIVALS:
        loops["mixnas"] = training_step(name, resolution, batch, device, precision)
    if name == "mixnet_m" and resolution == 224 and precision == "bf16":  # a minute to compile
        loops["compiled"] = training_step(name, resolution, batch, device, precision, True)
    if has_timm():
        rival = f"timm:{RIVALS.get(name, name)}"
        loops["timm"] = training_step(rival, resolution, batch, device, precision)
    return loops


def has_timm() -> bool:
    """Tell whether timm can be imported."""
    try:
        import timm  # noqa: F401
    except ImportError:
        return False
    return True


def training_step(
    name: str, resolution: int, batch: int, device: str, precision: str, compiled: bool = False
) -> Callable[[], None]:
    """Return a training step on images of noise held in memory."""
    import torch

    from nas.data import ImageData, Part
    from nas.train.batches import Batches, placed
    from nas.train.loop import Trainer
    from nas.train.models import open_model
    from nas.train.placement import Placement
    from nas.train.recipe import Recipe

    generator = torch.Generator().manual_seed(0)
    count = 2 * batch
    images = torch.randint(
        0, 256, (count, 3, resolution, resolution), generator=generator, dtype=torch.uint8
    )
    labels = torch.randint(0, 10, (count,), generator=generator)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    data = ImageData(
        "noise",
        tuple(str(number) for number in range(10)),
        dict.fromkeys(parts, images),
        dict.fromkeys(parts, labels),
    )
    recipe = Recipe(epochs=100_000, batch_size=batch, learning_rate=0.001)
    model = open_model(name, 10, recipe, 0, resolution)
    placement = Placement(device, precision, compiled)
    batches = Batches(placed(data, device)[0], batch, 0)
    steps = Trainer(model.module, batches, recipe, 0, placement).steps()
    return lambda: (next(steps), None)[1]


def images_per_second(
    loops: dict[str, Callable[[], None]], batch: int, seconds: float, device: str
) -> dict[str, float]:
    """Return the median rate of loops that take turns of some seconds, after a warm-up."""
    import torch

    def turn(step: Callable[[], None], steps: int) -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    for step in loops.values():
        turn(step, 2)  # chooses algorithms, compiles kernels
    steps = {name: max(2, round(seconds / (turn(step, 2) / 2))) for name, step in loops.items()}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(3):
        for name, step in loops.items():
            rates[name].append(steps[name] * batch / turn(step, steps[name]))
    return {name: statistics.median(found) for name, found in rates.items()}


# -- latency ------------------------------------------------------------------------------------


def latency(tiny: bool) -> Iterator[dict[str, Any]]:
    """Measure the lowered and the trained form of networks by every runtime of the GPU."""
    from nas.errors import MixnasError
    from nas.latency import MeasurementSettings, open_device
    from nas.latency.protocol import Effort
    from nas.spec import load_network

    effort = Effort(rounds=2, seconds=0.2, warm_seconds=0.1) if tiny else Effort(seconds=1.0)
    devices = ("torch:cpu",) if tiny else ("torch:cuda", "compile:cuda", "onnxruntime:cuda")
    for name in devices:
        for batch in (1,) if tiny else (1, 64):
            for network in TINY_NETWORKS if tiny else ("mixnet_m", "efficientnet_b0"):
                row: dict[str, Any] = {"device": name, "batch": batch, "network": network}
                try:
                    for lowered in (False,) if tiny else (False, True):
                        settings = MeasurementSettings(batch=batch, lowered=lowered)
                        spec = load_network(network).at(64 if tiny else 224)
                        found = open_device(name, settings).measure(spec, effort)
                        row["lowered ms" if lowered else "trained ms"] = round(found.median_ms, 3)
                    if "lowered ms" in row:
                        row["ratio"] = round(row["lowered ms"] / row["trained ms"], 3)
                    yield row
                except MixnasError as error:
                    yield {**row, "missing": str(error)[:300]}


# -- kills --------------------------------------------------------------------------------------


def kills(tiny: bool) -> Iterator[dict[str, Any]]:
    """Kill and resume a training run; count the tensors that differ from an uninterrupted one."""
    import torch
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        epochs = 2 if tiny else 12
        words = [
            "mobilenet_v2", "--resolution", "32", "--device", "none", "--on",
            "cpu" if tiny else "cuda", "--set", f"epochs={epochs}", "--set", "ema=0.99",
            "--set", "flip=true", "--threads", "2",
        ]  # fmt: skip
        with deterministic():
            train([*words, "--out", str(whole)])
            victim = start_training([*words, "--out", str(killed)])
            checkpoint = killed / "checkpoint.safetensors"
            while not checkpoint.exists() and victim.poll() is None:
                time.sleep(0.05)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            train(["--resume", str(killed), "--device", "none", "--on", words[6]])
        one, other = (load_file(path / "weights.safetensors") for path in (whole, killed))
        equal = sum(torch.equal(one[name], other[name]) for name in one)
        largest = max(float((one[n].float() - other[n].float()).abs().max()) for n in one)
    yield {"tensors": len(one), "equal": equal, "largest difference": largest}


@contextmanager
def deterministic() -> Iterator[None]:
    """Make cuBLAS deterministic in processes started during the block."""
    before = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUBLAS_WORKSPACE_CONFIG"]


def start_training(words: list[str]) -> subprocess.Popen[bytes]:
    """Start ``nas.train``."""
    return subprocess.Popen([sys.executable, "-m", "nas.train", *words], stdout=subprocess.DEVNULL)


def train(words: list[str]) -> None:
    """Run ``nas.train`` to its end.

    Raises:
        RuntimeError: If it fails.
    """
    code = start_training(words).wait()
    if code != 0:
        raise RuntimeError(f"nas.train {' '.join(words)} ended with exit code {code}")


# -- supernet -----------------------------------------------------------------------------------


def supernet(tiny: bool) -> Iterator[dict[str, Any]]:
    """Measure a supernet's steps per second, its scores, and how busy the GPU is meanwhile."""
    import torch

    from nas.accuracy.pool import SpacePool
    from nas.accuracy.supernet import Supernet
    from nas.space import load_space
    from nas.train.placement import find_placement, open_placement

    placement = find_placement("cpu" if tiny else "cuda", "auto")
    pool = SpacePool(load_space("mixnet").with_classes(10))
    for resolution, batch in ((32, 16),) if tiny else ((32, 64), (32, 512), (112, 128)):
        estimator = Supernet(
            "digits", pool, images=4 * batch, resolution=resolution, placement=placement
        )
        estimator = with_batch(estimator, batch)
        training = estimator._training()
        steps = training.trainer(open_placement(placement, resolution)).steps()
        warm, counted = (1, 2) if tiny else (20, 60)
        for _ in range(warm):
            next(steps)
        started = time.perf_counter()
        busy = busy_seconds(steps, counted, placement.on)
        elapsed = time.perf_counter() - started
        row = {
            "pixels": resolution,
            "batch": batch,
            "steps/s": round(counted / elapsed, 2),
            "img/s": round(counted * batch / elapsed),
            "busy": round(busy / elapsed, 2),
        }
        estimator.prepare()
        specs = [pool.draw(Random(seed)) for seed in range(3)]
        seconds = [estimator.estimate(spec, 0).seconds for spec in specs]
        yield {**row, "seconds a score": round(statistics.median(seconds), 3)}
        if not tiny:
            torch.cuda.empty_cache()


def with_batch(estimator: Any, batch: int) -> Any:
    """Return a supernet that trains 80 steps with batches of a size."""
    recipe = estimator.recipe.replace(batch_size=batch)
    return dataclasses.replace(estimator, recipe=recipe, images=80 * batch, most_epochs=10**6)


def busy_seconds(steps: Iterator[int], count: int, device: str) -> float:
    """Take steps; return for how many seconds the GPU computed, 0 on the CPU."""
    import torch

    if device == "cpu":
        for _ in range(count):
            next(steps)
        return 0.0
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(count):
            next(steps)
        torch.cuda.synchronize()
    events = profile.key_averages()
    return float(sum(event.self_device_time_total for event in events)) / 1e6


# -- search -------------------------------------------------------------------------------------


def search(tiny: bool) -> Iterator[dict[str, Any]]:
    """Search as ``nas.search`` does, on as many images of CIFAR-10's size, by phase."""
    import numpy as np

    from experiments.benchmarks.phases import phases
    from nas.search.config import SearchConfig

    with tempfile.TemporaryDirectory() as folder:
        data = "digits"
        if not tiny:  # what they show is of no matter for the time
            rng = np.random.default_rng(0)
            data = f"{folder}/noise.npz"
            images = rng.integers(0, 256, (60_000, 32, 32, 3), dtype=np.uint8)
            np.savez(data, images=images, labels=rng.integers(0, 10, 60_000))
        config = SearchConfig(
            space="mixnet",
            limits={"madds": "400M"},
            data=data,
            estimator="supernet:images=320" if tiny else "supernet",
            device="nas.testing.fakes:InstantDevice" if tiny else "torch:cuda",
            references=["mobilenet_v2"] if tiny else ["mixnet_s", "mixnet_m"],
            trials=2 if tiny else 24,
            on="cpu" if tiny else "cuda",
            workers=1,
            confirm=0 if tiny else 2,
        )
        for phase, seconds in phases(config, Path(folder) / "run"):
            yield {"phase": phase, "seconds": seconds}


PARTS: dict[str, Callable[[bool], Iterator[dict[str, Any]]]] = {
    "tests": tests,
    "training": training,
    "supernet": supernet,
    "latency": latency,
    "search": search,
    "kills": kills,
}
SECONDS = {
    "tests": 40.0,
    "training": 90.0,
    "supernet": 45.0,
    "latency": 90.0,
    "search": 175.0,
    "kills": 40.0,
}
"""What each part may take; together less than 8 minutes."""
