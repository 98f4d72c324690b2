"""What mixnas does on a GPU: throughput, latency, exact resumption; each part on its own.

    python -m experiments.benchmarks.on_gpu [--out FOLDER] [--parts training latency ...] [--tiny]

Runs in a few minutes on one H100 and downloads nothing. Beside torch it needs what the ``search``
extra installs; where that cannot be installed, these wheels suffice: pydantic, pydantic-core,
annotated-types, typing-inspection, PyYAML, platformdirs, filelock, kornia, kornia-rs,
pytorch-optimizer, optuna, alembic, SQLAlchemy, moocore, plotly, jinja2. timm's networks are
compared if timm is installed, ONNX Runtime on CUDA if its build has that provider.

Every part runs in a process of its own, so that a failure costs that part alone. ``--tiny`` runs
all parts on the CPU with little work, as a test of this program. The result is printed as tables
and written to FOLDER/on_gpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART_SECONDS = 160.0  # that a part may take; its rows so far are kept
TINY_NETWORKS = ("mobilenet_v2",)
NETWORKS = ("mixnet_s", "mixnet_m", "efficientnet_b0", "mobilenet_v2")
RIVALS = {
    "mixnet_s": "mixnet_s",
    "mixnet_m": "mixnet_m",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenet_v2": "mobilenetv2_100",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/on_gpu"))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="on the CPU, with little work")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        for figures in PARTS[arguments.part](arguments.tiny):
            print(json.dumps(figures), flush=True)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    for part in arguments.parts:
        parts[part] = run_part(part, arguments.tiny)
        show(part, parts[part])
        # After every part, so that what was measured outlives whatever comes later.
        text = json.dumps({"machine": machine(arguments.tiny), "parts": parts}, indent=2) + "\n"
        (arguments.out / "on_gpu.json").write_text(text, encoding="utf-8")
    return int(any("error" in part for part in parts.values()))


def machine(tiny: bool) -> dict[str, Any]:
    """Return what the figures were measured on."""
    import torch

    from nas.machine import machine_name, usable_cores

    found: dict[str, Any] = {
        "processor": machine_name(),
        "cores": usable_cores(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    if not tiny:
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


def run_part(part: str, tiny: bool) -> dict[str, Any]:
    """Run one part in a process of its own; return its rows, and what went wrong if anything did.

    Rows that came before an error or the end of the time are kept.
    """
    words = [sys.executable, "-m", "experiments.benchmarks.on_gpu", "--part", part]
    started = time.perf_counter()
    # A cache of its own: nothing is known of the device, and no other process is waited for.
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [*words, *(["--tiny"] if tiny else [])],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MIXNAS_CACHE": cache},
        )
        try:
            _, said = process.communicate(timeout=PART_SECONDS)
            error = "" if process.returncode == 0 else said[-3_000:] or "no message"
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            error = f"not finished after {PART_SECONDS:.0f} s"
        out.seek(0)
        rows = [json.loads(line) for line in out if line.startswith("{")]
    found = {"seconds": round(time.perf_counter() - started, 1), "rows": rows}
    return {**found, "error": error} if error else found


def show(part: str, found: dict[str, Any]) -> None:
    """Print a part's rows as a table of their own."""
    print(f"\n{part} ({found['seconds']} s)", flush=True)
    names = list(dict.fromkeys(name for row in found["rows"] for name in row))
    shown = [dict(zip(names, names, strict=True)), *found["rows"]]
    widths = [max(len(str(row.get(name, ""))) for row in shown) for name in names]
    for row in shown if names else []:
        cells = (str(row.get(n, "")).rjust(w) for n, w in zip(names, widths, strict=True))
        print("  " + "  ".join(cells))
    if "error" in found:
        print(found["error"])


# -- training -----------------------------------------------------------------------------------


def training(tiny: bool) -> Iterator[dict[str, Any]]:
    """Measure images per second in training, ours and timm's in the same loop, in turns."""
    import torch

    device = "cpu" if tiny else "cuda"
    cases = [(32, 16)] if tiny else [(32, 512), (224, 128)]
    for resolution, batch in cases:
        for name in TINY_NETWORKS if tiny else NETWORKS[:3]:
            for precision in ("fp32",) if tiny else ("fp32", "bf16"):
                loops = {
                    kind: training_step(network, resolution, batch, device, precision)
                    for kind, network in (("mixnas", name), ("timm", f"timm:{RIVALS[name]}"))
                    if kind == "mixnas" or has_timm()
                }
                rates = images_per_second(loops, batch, 0.5 if tiny else 1.0, device)
                yield {
                    "network": name,
                    "pixels": resolution,
                    "batch": batch,
                    "precision": precision,
                    **{f"{kind} img/s": round(rate) for kind, rate in rates.items()},
                }
                loops.clear()
                if not tiny:
                    torch.cuda.empty_cache()


def has_timm() -> bool:
    """Tell whether timm can be imported."""
    try:
        import timm  # noqa: F401
    except ImportError:
        return False
    return True


def training_step(
    name: str, resolution: int, batch: int, device: str, precision: str
) -> Callable[[], None]:
    """Return one step of a training on images of noise that lie in memory."""
    import torch

    from nas.data import ImageData
    from nas.train.batches import Batches
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
    parts = ("train", "validation", "test")
    data = ImageData(
        "noise",
        tuple(str(number) for number in range(10)),
        dict.fromkeys(parts, images),
        dict.fromkeys(parts, labels),
    )
    recipe = Recipe(epochs=100_000, batch_size=batch, learning_rate=0.001)
    model = open_model(name, 10, recipe, 0, resolution)
    placement = Placement(device, precision)
    steps = Trainer(model.module, Batches(data, batch, 0), recipe, 0, placement).steps()
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
    """Kill a full training and resume it; count the tensors that differ from an unbroken one."""
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
    """Ask cuBLAS for repeatable sums in the processes that are started meanwhile."""
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


PARTS: dict[str, Callable[[bool], Iterator[dict[str, Any]]]] = {
    "training": training,
    "latency": latency,
    "kills": kills,
}


if __name__ == "__main__":
    sys.exit(main())
